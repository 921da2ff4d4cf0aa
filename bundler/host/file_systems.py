"""What a file system was made with, read from its device."""

import re
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import os_errors
from bundler.host.run import failure, find_program, run, run_to_end
from bundler.model.file_system import FileSystem, FileSystemType

_NOTHING_FOUND, _AMBIGUOUS = 2, 8
"""Exit statuses of blkid -p.  Source: blkid(8)."""

_MAX_LINE_COUNT = 100
_STATES = frozenset(("needs_recovery", "orphan_present"))
"""What dumpe2fs lists among an ext file system's features, but is the state of a mounted one."""

_XFS_FEATURES = {
    "CRC": "crc",
    "FINOBT": "finobt",
    "SPARSE_INODES": "sparse",
    "REFLINK": "reflink",
    "RMAPBT": "rmapbt",
    "INOBTCNT": "inobtcount",
    "BIGTIME": "bigtime",
    "NREXT64": "nrext64",
    "FTYPE": "ftype",
    "EXCHANGE": "exchange",
    "PARENT": "parent",
}
"""By xfs_db's words, mkfs.xfs's options of what is worth keeping; all else has one value only."""


def read_file_system(device: Path) -> FileSystem | None:
    """What the file system on a device was made with; None: none that we can make.

    The device is probed itself, no cache is asked.  A label is returned as it is, whatever
    characters it has; bytes that are no UTF-8 as surrogates.  The features are those of ext, xfs
    (as mkfs.xfs spells them) and vfat ("fat12", "fat16" or "fat32").

    Raises:
        MissingError: no such device, or a program is not installed.
        HostError: not root, or the device cannot be read or looks like several file systems.
    """
    tags = _probe(device)
    try:
        kind = FileSystemType(tags.get("ID_FS_TYPE", ""))
    except ValueError:
        return None
    features: tuple[str, ...] = ()
    block_size, inode_size = 0, 0
    if kind.is_ext:
        features, block_size, inode_size = _read_ext(device)
    elif kind is FileSystemType.XFS:
        features, block_size, inode_size = _read_xfs(device)
    elif kind is FileSystemType.VFAT:
        features = (tags.get("ID_FS_VERSION", "").lower(),)
    return FileSystem(
        type=kind,
        uuid=_decode(tags.get("ID_FS_UUID_ENC", "")),
        label=_decode(tags.get("ID_FS_LABEL_ENC", "")),
        features=tuple(filter(None, features)),
        block_size=block_size,
        inode_size=inode_size,
    )


def mount_options(file_system: FileSystem) -> tuple[str, ...]:
    """What a new file system needs to be mounted beside the one that it is a twin of."""
    return ("nouuid",) if file_system.type is FileSystemType.XFS else ()


def _probe(device: Path) -> dict[str, str]:
    with os_errors("look for a file system on", device), device.open("rb"):
        pass  # blkid has one exit status for a device that it cannot read and for an empty one
    lines: list[bytes] = []

    def keep(line: bytes) -> None:
        if len(lines) < _MAX_LINE_COUNT:
            lines.append(line)

    # Of the formats this one alone loses no byte of a label: what is odd is written as \xHH.
    argv = (find_program("blkid", package="util-linux"), "-p", "-o", "udev", "--", device)
    finished = run_to_end(argv, keep)
    if finished.status == _AMBIGUOUS:
        raise HostError(f"look for a file system on {device}: expected one, got signs of several")
    if finished.status not in (0, _NOTHING_FOUND):
        raise failure(argv, finished)
    texts = (line.decode(errors="surrogateescape").partition("=") for line in lines)
    return {name: value for name, _, value in texts}


def _decode(encoded: str) -> str:
    """Undo blkid's \\xHH."""
    data = encoded.encode("utf-8", "surrogateescape")
    plain = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), data)
    return plain.decode(errors="surrogateescape")


def _read_ext(device: Path) -> tuple[tuple[str, ...], int, int]:
    """Features, block and inode size.

    A hostile label can have a line end and look like more lines; what it can say is no worse
    than a file system's features themselves, which are checked where they are used.
    """
    output = run((find_program("dumpe2fs", package="e2fsprogs"), "-h", device))
    pairs = (line.partition(":") for line in output.decode(errors="replace").splitlines())
    values = {name: value.strip() for name, _, value in pairs}
    words = values.get("Filesystem features", "").split()
    features = tuple(word for word in words if re.fullmatch(r"\w+", word) and word not in _STATES)
    sizes = (values.get("Block size", ""), values.get("Inode size", ""))
    block_size, inode_size = (
        int(size) if re.fullmatch(r"[0-9]{1,6}", size) else 0 for size in sizes
    )
    return features, block_size, inode_size


def _read_xfs(device: Path) -> tuple[tuple[str, ...], int, int]:
    """Features, block and inode size."""
    commands = ("-c", "version", "-c", "sb 0", "-c", "print blocksize inodesize")
    output = run((find_program("xfs_db", package="xfsprogs"), "-r", *commands, device))
    text = output.decode(errors="replace")
    words = re.findall(r"\w+", text.partition(" = ")[2].partition("\n")[0])
    sizes = dict(re.findall(r"^(\w+) = ([0-9]{1,6})$", text, re.MULTILINE))
    features = tuple(_XFS_FEATURES[word] for word in words if word in _XFS_FEATURES)
    return features, int(sizes.get("blocksize", 0)), int(sizes.get("inodesize", 0))
