"""File systems: what one was made with, and making one like it.

Labels and UUIDs of a volume are whatever its owner wrote there: each is checked, and goes to
programs behind its option, so that none can be taken for an option itself.
"""

import re
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from bundler.errors import HostError
from bundler.host.block_devices import ThisMachine
from bundler.host.ext_file_system import mke2fs_argv, read_ext
from bundler.host.files import os_errors
from bundler.host.run import failure, find_program, run, run_to_end
from bundler.host.xfs_file_system import mkfs_xfs_argv, read_xfs
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType

_LABEL_SIZES = {
    FileSystemType.EXT2: 16,
    FileSystemType.EXT3: 16,
    FileSystemType.EXT4: 16,
    FileSystemType.XFS: 12,
    FileSystemType.BTRFS: 255,
    FileSystemType.VFAT: 11,
}
"""Most bytes.  Sources: mke2fs(8), mkfs.xfs(8), mkfs.btrfs(8), mkfs.fat(8)."""

_MAKERS = {
    FileSystemType.EXT2: ("mke2fs", "e2fsprogs"),
    FileSystemType.EXT3: ("mke2fs", "e2fsprogs"),
    FileSystemType.EXT4: ("mke2fs", "e2fsprogs"),
    FileSystemType.XFS: ("mkfs.xfs", "xfsprogs"),
    FileSystemType.BTRFS: ("mkfs.btrfs", "btrfs-progs"),
    FileSystemType.VFAT: ("mkfs.vfat", "dosfstools"),
}
"""Programs that make them, and packages that have these."""

_VFAT_FORBIDDEN = frozenset('*?.,;:/\\|+=<>[]"')
# Source: mkfs.fat 4.2.

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_VFAT_UUID = re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}\Z")

_MIN_FAT32_SIZE = 34 * MIB
"""Bytes; a smaller one has fewer clusters than FAT32 must have."""

_KNOWN_BTRFS = Path("/sys/fs/btrfs")
"""A directory for the UUID of each that the kernel has mounted."""


def read_file_system(device: Path) -> FileSystem | None:
    """The file system on a device, which may be mounted; None: none of FileSystemType.

    Of btrfs and vfat, features and sizes are left to the program that makes a new one.

    Raises:
        MissingError: a program is not installed.
        HostError: it fails, or this process may not read the device.
    """
    lines = ThisMachine().probe(device).decode(errors="replace").splitlines()
    words = dict(line.partition("=")[::2] for line in lines)
    try:
        kind = FileSystemType(words.get("ID_FS_TYPE", ""))
    except ValueError:
        return None
    found = FileSystem(
        type=kind,
        uuid=words.get("ID_FS_UUID", ""),
        label=_decode_label(words.get("ID_FS_LABEL_ENC", "")),
    )
    found = replace(found, uuid=found.uuid if _is_uuid(found) else "")
    if kind.is_ext:
        return read_ext(device, found)
    return read_xfs(device, found) if kind is FileSystemType.XFS else found


def find_maker(kind: FileSystemType) -> Path:
    """The program that makes file systems of a type.

    Raises:
        MissingError: it is not installed.
    """
    name, package = _MAKERS[kind]
    return find_program(name, package=package)


def make_file_system(target: Path, wanted: FileSystem) -> tuple[FileSystem, tuple[str, ...]]:
    """Make an empty file system on a device, or in a file, all of whose bytes are zero.

    Returns it as it was really made, and notes on what could not be kept, for people.  A btrfs
    gets a new UUID if this machine has one of that UUID: its kernel could not tell them apart.

    Raises:
        MissingError: the program for it is not installed.
        HostError: it fails.
    """
    wanted, notes = _possible(wanted)
    if wanted.type.is_ext:
        argv, made, more = mke2fs_argv(target, wanted)
        run((*argv, target))
        return made, notes + more
    if wanted.type is FileSystemType.XFS:
        argv, more = mkfs_xfs_argv(target, wanted)
        run(argv)
        return wanted, notes + more
    if wanted.type is FileSystemType.BTRFS:
        made, more = _make_btrfs(target, wanted)
        return made, notes + more
    _make_vfat(target, wanted)
    return wanted, notes


def mount_options(file_system: FileSystem) -> tuple[str, ...]:
    """What mounting it needs while the volume that it is like is mounted too."""
    return ("nouuid",) if file_system.type is FileSystemType.XFS else ()


def _decode_label(encoded: str) -> str:
    """A label as blkid writes it for udev, odd bytes in hexadecimal; none if it is no text."""
    raw = re.sub(
        rb"\\x([0-9a-f]{2})",
        lambda match: bytes.fromhex(match[1].decode()),
        encoded.encode(errors="replace"),
    )
    try:
        label = raw.decode()
    except UnicodeDecodeError:
        return ""
    return label if label.isprintable() else ""


def _is_uuid(file_system: FileSystem) -> bool:
    form = _VFAT_UUID if file_system.type is FileSystemType.VFAT else _UUID
    return form.match(file_system.uuid) is not None


def _possible(wanted: FileSystem) -> tuple[FileSystem, tuple[str, ...]]:
    """With a UUID, and a label that such a file system can have."""
    notes: list[str] = []
    kind, label = wanted.type, wanted.label
    if not _is_uuid(wanted):
        new = str(uuid4())
        if kind is FileSystemType.VFAT:
            new = f"{new[:4]}-{new[4:8]}".upper()
        wanted = replace(wanted, uuid=new)
    is_odd = not label.isprintable() or len(label.encode(errors="replace")) > _LABEL_SIZES[kind]
    if kind is FileSystemType.VFAT:
        is_odd |= not label.isascii() or not _VFAT_FORBIDDEN.isdisjoint(label)
    if is_odd:
        notes.append(f"{kind.value} file system: it cannot have the label {label!r}")
        wanted = replace(wanted, label="")
    return wanted, tuple(notes)


def _make_btrfs(target: Path, wanted: FileSystem) -> tuple[FileSystem, tuple[str, ...]]:
    program = find_maker(FileSystemType.BTRFS)
    argv: list[str | Path] = [program, "-q", "-f", "-K"]
    if wanted.label:
        argv += ["-L", wanted.label]
    is_known = (_KNOWN_BTRFS / wanted.uuid).exists()
    if not is_known:
        own = [*argv, "-U", wanted.uuid, target]
        finished = run_to_end(own, lambda _: None)
        if not finished.status:
            return wanted, ()
        if b"non-unique" not in finished.errors:
            raise failure(own, finished)
    new = replace(wanted, uuid=str(uuid4()))
    run((*argv, "-U", new.uuid, target))
    note = (
        f"btrfs file system: its UUID is {new.uuid}, not {wanted.uuid}, for a kernel takes two "
        "of one UUID for one"
    )
    return new, (note,)


def _make_vfat(target: Path, wanted: FileSystem) -> None:
    with os_errors("make vfat file system on", target), target.open("rb") as file:
        size = file.seek(0, 2)
    if not size:
        raise HostError(f"make vfat file system on {target}: expected some bytes, got none")
    program = find_maker(FileSystemType.VFAT)
    argv: list[str | Path] = [program, "-I", "-i", wanted.uuid.replace("-", "")]
    if wanted.label:
        argv += ["-n", wanted.label]
    if size >= _MIN_FAT32_SIZE:
        argv += ["-F", "32"]
    run((*argv, target))
