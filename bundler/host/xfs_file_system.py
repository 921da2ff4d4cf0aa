"""XFS: what xfs_db(8) tells of one, and the words for mkfs.xfs(8)."""

import re
from dataclasses import replace
from pathlib import Path

from bundler.host.run import find_program, run, run_to_end
from bundler.model.file_system import FileSystem

PACKAGE = "xfsprogs"

_NAMES = {
    "CRC": "crc",
    "FINOBT": "finobt",
    "RMAPBT": "rmapbt",
    "REFLINK": "reflink",
    "BIGTIME": "bigtime",
    "INOBTCNT": "inobtcount",
    "SPARSE_INODES": "sparse",
    "NREXT64": "nrext64",
    "EXCHANGE": "exchange",
    "PARENT": "parent",
    "FTYPE": "ftype",
}
"""xfs_db's words for what mkfs.xfs spells so; others are not kept."""

_OPTIONS = {"sparse": "-i", "nrext64": "-i", "exchange": "-i", "parent": "-n", "ftype": "-n"}
"""Where mkfs.xfs takes them, if not with -m."""

_VERSION_4 = "crc=0"
"""Stands for what such a file system lacks, so that it is not taken for one of no known kind."""

_WITHOUT_CRC = ("crc", "ftype")
"""What can be said of a file system of version 4; all else needs checksums."""


def read_xfs(device: Path, known: FileSystem) -> FileSystem:
    """`known`, with features and sizes; the file system may be mounted.

    Raises:
        MissingError: xfs_db is not installed.
        HostError: it fails.
    """
    commands = ("-c", "version", "-c", "sb 0", "-c", "print blocksize inodesize")
    output = run((find_program("xfs_db", package=PACKAGE), "-r", *commands, device))
    text = output.decode(errors="replace")
    version = re.search(r"^versionnum \[[^\]]*\] = (\S+)", text, re.MULTILINE)
    words = version[1].split(",") if version else []
    sizes = dict(re.findall(r"^(blocksize|inodesize) = ([0-9]{1,6})$", text, re.MULTILINE))
    return replace(
        known,
        features=(
            *(() if not words or "CRC" in words else (_VERSION_4,)),
            *(_NAMES[word] for word in words if word in _NAMES),
        ),
        block_size=int(sizes.get("blocksize", 0)),
        inode_size=int(sizes.get("inodesize", 0)),
    )


def mkfs_xfs_argv(target: Path, wanted: FileSystem) -> tuple[list[str | Path], tuple[str, ...]]:
    """The command, and notes.  What the source has not is turned off: its kernel may not know it.

    Raises:
        MissingError: mkfs.xfs is not installed.
        HostError: it cannot be run.
    """
    program = find_program("mkfs.xfs", package=PACKAGE)
    argv: list[str | Path] = [program, "-q", "-f", "-K"]
    values: dict[str, list[str]] = {"-m": [], "-i": [], "-n": []}
    notes: list[str] = []
    if wanted.uuid:
        values["-m"].append(f"uuid={wanted.uuid}")
    if wanted.features:
        known = _known_features(program)
        notes += [
            f"xfs file system: this mkfs.xfs does not know the feature {word}"
            for word in wanted.features
            if word not in known and word != _VERSION_4
        ]
        for word in known:
            if _VERSION_4 not in wanted.features or word in _WITHOUT_CRC:
                value = int(word in wanted.features)
                values[_OPTIONS.get(word, "-m")].append(f"{word}={value}")
            elif word in ("finobt", "sparse", "reflink", "rmapbt", "bigtime", "inobtcount"):
                values[_OPTIONS.get(word, "-m")].append(f"{word}=0")
        if _VERSION_4 in wanted.features:
            notes.append("xfs file system: version 4, as the volume has it; new kernels refuse it")
    if wanted.inode_size:
        values["-i"].append(f"size={wanted.inode_size}")
    for option, words in values.items():
        if words:
            argv += [option, ",".join(words)]
    if wanted.block_size:
        argv += ["-b", f"size={wanted.block_size}"]
    if wanted.label:
        argv += ["-L", wanted.label]
    return [*argv, target], tuple(notes)


def _known_features(program: Path) -> tuple[str, ...]:
    """Those of ours that it has, as its usage tells."""
    finished = run_to_end((program, "--help"), lambda _: None)
    words = set(re.findall(rb"(\w+)=0\|1", finished.errors))
    return tuple(name for name in _NAMES.values() if name.encode() in words)
