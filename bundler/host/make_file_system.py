"""A new file system as the old one was: found by the same UUID and label, with its features."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bundler.errors import HostError
from bundler.host.file_systems import read_file_system
from bundler.host.run import Finished, find_program, run, run_to_end
from bundler.model.file_system import FileSystem, FileSystemType

_MAX_LABEL_SIZES = {
    FileSystemType.EXT2: 16,
    FileSystemType.EXT3: 16,
    FileSystemType.EXT4: 16,
    FileSystemType.XFS: 12,
    FileSystemType.BTRFS: 255,
    FileSystemType.VFAT: 11,
}
"""Bytes.  Source: mke2fs(8), mkfs.xfs(8), mkfs.btrfs(8), mkfs.fat(8)."""

_NOT_KEPT = frozenset(
    (
        # Of other devices, or of a file system in use.
        "journal_dev",
        "mmp",
        "needs_recovery",
        "orphan_present",
        "shared_blocks",
        "snapshot_bitmap",
        # Of files that rsync copies as plain ones, or of what it does not copy.
        "encrypt",
        "project",
        "quota",
        "stable_inodes",
        "verity",
    )
)
"""Features of ext file systems that an image does without."""

_XFS_OPTIONS = {
    "crc": "m",
    "finobt": "m",
    "reflink": "m",
    "rmapbt": "m",
    "bigtime": "m",
    "inobtcount": "m",
    "sparse": "i",
    "nrext64": "i",
    "exchange": "i",
    "ftype": "n",
    "parent": "n",
}
"""Under which option mkfs.xfs takes a feature; in the order of its own --help."""

_XFS_OLD = frozenset(("ftype",))
"""What can be chosen without crc; with it, ftype cannot."""

_FAT_SIZES = {"fat12": "12", "fat16": "16", "fat32": "32"}


def make_file_system(target: Path, wanted: FileSystem) -> tuple[FileSystem, tuple[str, ...]]:
    """Make a file system on a block device that holds nothing but zeros.

    Nothing is discarded and no table cleared, so that the file below stays sparse.  It is made
    as near to `wanted` as the programs of this machine can; returned is what was made, and a
    note for each thing that differs.  A btrfs gets another UUID than the one wanted: the kernel
    takes two file systems of one UUID for the same one.

    Raises:
        MissingError: a program is not installed.
        HostError: not root, no room, or the program failed.
    """
    notes: list[str] = []
    wanted = _with_plain_names(wanted, notes)
    if wanted.type.is_ext:
        _make_ext(target, wanted, notes)
    elif wanted.type is FileSystemType.XFS:
        _make_xfs(target, wanted, notes)
    elif wanted.type is FileSystemType.BTRFS:
        _make_btrfs(target, wanted, notes)
    else:
        _make_vfat(target, wanted, notes)
    made = read_file_system(target)
    if made is None:
        raise HostError(f"make {wanted.type} on {target}: expected it to be found, got nothing")
    return made, tuple(notes)


def _with_plain_names(wanted: FileSystem, notes: list[str]) -> FileSystem:
    """Without a label or a UUID that the type cannot have, or that nobody could write down."""
    label, limit = wanted.label, _MAX_LABEL_SIZES[wanted.type]
    size = len(label.encode(errors="surrogateescape"))
    is_vfat = wanted.type is FileSystemType.VFAT
    if not label.isprintable() or size > limit or (is_vfat and not label.isascii()):
        notes.append(f"the label {label!r} is left out: {wanted.type} takes {limit} plain bytes")
        wanted = replace(wanted, label="")
    pattern = (
        r"[0-9a-f]{4}-[0-9a-f]{4}" if is_vfat else r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    )
    if wanted.uuid and not re.fullmatch(pattern, wanted.uuid, re.IGNORECASE):
        notes.append(f"the UUID {wanted.uuid!r} is not one of {wanted.type}; a new one is made")
        wanted = replace(wanted, uuid="")
    return wanted


def ext_options(wanted: FileSystem) -> tuple[str, ...]:
    """Options of mke2fs(8), but for features: quick, sparse, and root's."""
    options = ["-q", "-F", "-t", str(wanted.type)]
    if wanted.uuid:
        options += ["-U", wanted.uuid]
    if wanted.label:
        options += ["-L", wanted.label]
    if wanted.inode_size:
        options += ["-I", str(wanted.inode_size)]
    if wanted.block_size:
        options += ["-b", str(wanted.block_size)]
    if wanted.inode_count:
        options += ["-N", str(wanted.inode_count)]
    return tuple(options)


def _make_ext(target: Path, wanted: FileSystem, notes: list[str]) -> None:
    mke2fs = find_program("mke2fs", package="e2fsprogs")
    extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0"
    options = (*ext_options(wanted), "-E")
    dry: tuple[str | Path, ...] = (mke2fs, "-n", *options)
    prezeroed = f"{extended},assume_storage_prezeroed=1"  # since 1.47.0
    if _try((*dry, prezeroed, target)).status == 0:
        extended = prezeroed
    features = keep_features(wanted.features, notes)
    if features and _try((*dry, extended, "-O", _join(features), target)).status:
        known = [one for one in features if _is_known(mke2fs, wanted, one, target)]
        lost = [one for one in features if one not in known]
        notes.extend(f"{wanted.type}: mke2fs knows no feature {one}; left out" for one in lost)
        features = tuple(known)
    chosen = ("-O", _join(features)) if features else ()
    run((mke2fs, *options, extended, *chosen, target))
    # Old mke2fs.conf files turn checks by count and time on.
    run((find_program("tune2fs", package="e2fsprogs"), "-c", "0", "-i", "0", target))


def keep_features(features: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Features of an ext file system that an image has as well; a note for each other one."""
    kept = []
    for feature in features:
        if feature in _NOT_KEPT or not re.fullmatch(r"[a-z0-9_]+", feature):
            notes.append(f"the feature {feature!r} is left out: an image does without it")
        else:
            kept.append(feature)
    return tuple(kept)


def _join(features: Sequence[str]) -> str:
    return ",".join(("none", *features))


def _is_known(mke2fs: Path, wanted: FileSystem, feature: str, target: Path) -> bool:
    finished = _try((mke2fs, "-n", "-q", "-F", "-t", str(wanted.type), "-O", feature, target))
    return b"nvalid filesystem option" not in finished.errors


def _make_xfs(target: Path, wanted: FileSystem, notes: list[str]) -> None:
    mkfs = find_program("mkfs.xfs", package="xfsprogs")
    usage = _try((mkfs,)).errors.decode(errors="replace")  # it lists the options that it knows
    features = wanted.features
    argv = (mkfs, "-q", "-f", "-K")
    is_old = bool(features) and "crc" not in features
    if is_old and _try((*argv, "-N", *_xfs_options(wanted, usage), target)).status:
        notes.append("xfs: this mkfs.xfs makes no version 4 any more; made version 5 instead")
        wanted = replace(wanted, features=(), inode_size=0)
    notes.extend(
        f"xfs: mkfs.xfs knows no feature {one!r}; left out"
        for one in wanted.features
        if f"{one}=" not in usage
    )
    run((*argv, *_xfs_options(wanted, usage), target))


def _xfs_options(wanted: FileSystem, usage: str) -> tuple[str, ...]:
    """Options of mkfs.xfs(8); what the old one has not is turned off, whatever the default."""
    grouped: dict[str, list[str]] = {"m": [], "i": [], "n": []}
    has_crc = "crc" in wanted.features
    for feature, group in _XFS_OPTIONS.items():
        is_fixed = has_crc and feature in _XFS_OLD
        if wanted.features and f"{feature}=" in usage and not is_fixed:
            grouped[group].append(f"{feature}={int(feature in wanted.features)}")
    if wanted.uuid:
        grouped["m"].append(f"uuid={wanted.uuid}")
    if wanted.inode_size:
        grouped["i"].append(f"size={wanted.inode_size}")
    options = [
        word for name, words in grouped.items() if words for word in (f"-{name}", ",".join(words))
    ]
    if wanted.block_size:
        options += ["-b", f"size={wanted.block_size}"]
    if wanted.label:
        options += ["-L", wanted.label]
    return tuple(options)


def _make_btrfs(target: Path, wanted: FileSystem, notes: list[str]) -> None:
    new = str(uuid.uuid4())
    if wanted.uuid:
        notes.append(f"btrfs: the UUID {wanted.uuid} is {new} in the image: two of one UUID clash")
    label = ("-L", wanted.label) if wanted.label else ()
    size = ("-s", str(wanted.block_size)) if wanted.block_size else ()
    mkfs = find_program("mkfs.btrfs", package="btrfs-progs")
    run((mkfs, "-q", "-f", "-K", "-U", new, *label, *size, target))


def _make_vfat(target: Path, wanted: FileSystem, notes: list[str]) -> None:
    mkfs = find_program("mkfs.fat", package="dosfstools")
    options = ["-I"]  # a whole device will do
    if wanted.uuid:
        options += ["-i", wanted.uuid.replace("-", "")]
    if wanted.label:
        options += ["-n", wanted.label]
    size = next((_FAT_SIZES[one] for one in wanted.features if one in _FAT_SIZES), None)
    try:
        run((mkfs, *options, *(("-F", size) if size else ()), target))
    except HostError:
        if size is None:
            raise
        notes.append(f"vfat: no FAT{size} of this size; made the one that fits")
        run((mkfs, *options, target))


def _try(argv: Sequence[str | Path]) -> Finished:
    return run_to_end(argv, lambda line: None)
