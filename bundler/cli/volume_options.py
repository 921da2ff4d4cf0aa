"""Options of ami-bundler volume: what is imaged, and what the image shall be."""

import argparse
from pathlib import Path

from bundler.cli.options import choice, parse_path
from bundler.errors import UsageError
from bundler.model.bundle import MIB
from bundler.model.disk import Firmware
from bundler.model.partition_table import PartitionScheme
from bundler.workflow.finish_image import load_fstab
from bundler.workflow.image_options import ImageOptions, SnapshotKind

AUTO = "auto"
"""The word of options that leave the choice to us."""

NONE = "none"


def add_volume_options(parser: argparse.ArgumentParser) -> None:
    """What is imaged, and what the image shall be."""
    group = parser.add_argument_group("volume")
    group.add_argument(
        "--volume",
        type=parse_path,
        default=Path("/"),
        metavar="DIR",
        help="directory that becomes the root of the image (default: /)",
    )
    group.add_argument(
        "--all",
        "-a",
        action="store_true",
        help="copy what is mounted below it from other disks, too; never from the network",
    )
    group.add_argument(
        "--freeze",
        action="store_true",
        help="keep the file systems from changing while they are copied (fsfreeze): whoever "
        "writes to one waits",
    )
    group.add_argument(
        "--snapshot",
        default=NONE,
        help="copy from a snapshot: btrfs, lvm, auto (what there can be) or none (default)",
    )
    group.add_argument(
        "--scratch-dir",
        type=parse_path,
        metavar="DIR",
        help="for the image while it is made (default: the destination; with s3:// TMPDIR, or "
        "/var/tmp)",
    )
    group = parser.add_argument_group("image")
    group.add_argument(
        "--partition",
        default=AUTO,
        help="gpt, mbr, none (a bare file system), or auto (default): as the disk is that has "
        "the volume; of a directory gpt if it has a boot loader, else none",
    )
    group.add_argument(
        "--firmware",
        default=AUTO,
        help="bios, uefi, both, or auto (default): what the volume has boot loaders for",
    )
    group.add_argument(
        "--size",
        default=AUTO,
        metavar="MIB",
        help="of the image (default: auto, data and head room)",
    )
    group.add_argument(
        "--boot-loader",
        default=AUTO,
        help="auto (default): install the one that the volume has, by its own programs, run as "
        "root by chroot; none: leave it out, and run no program of the volume",
    )
    group.add_argument(
        "--no-initramfs-update",
        action="store_true",
        help="leave the initramfs as it is even if it lacks the driver of the root disk",
    )
    group.add_argument(
        "--script",
        type=parse_path,
        metavar="FILE",
        help="program that is run when all is copied; its argument is where the image is mounted",
    )
    fstab = group.add_mutually_exclusive_group()
    fstab.add_argument(
        "--fstab", type=parse_path, metavar="FILE", help="for the image's /etc/fstab"
    )
    fstab.add_argument(
        "--generate-fstab",
        action="store_true",
        help="a new /etc/fstab, with the image's own mounts",
    )


def image_options(arguments: argparse.Namespace, *, may_mount: bool) -> ImageOptions:
    """What the options ask for.

    Raises:
        UsageError: one is wrong.
        MissingError, InputError, HostError: a file that one names cannot be used.
    """
    if arguments.partition == NONE and arguments.firmware != AUTO:
        raise UsageError("--partition none, --firmware: expected one of them")
    snapshot = choice("--snapshot", arguments.snapshot, SnapshotKind)
    if arguments.freeze and snapshot is not SnapshotKind.NONE:
        raise UsageError("--freeze, --snapshot: expected one of them: a snapshot stands still")
    return ImageOptions(
        volume=arguments.volume,
        may_mount=may_mount,
        includes_all_mounts=arguments.all,
        freezes=arguments.freeze,
        snapshot=snapshot,
        scheme=_scheme(arguments.partition),
        has_own_scheme=arguments.partition == AUTO,
        firmware=_firmware(arguments.firmware),
        size=_size(arguments.size),
        has_boot_loader=_boot_loader(arguments.boot_loader),
        updates_initramfs=not arguments.no_initramfs_update,
        script=_program(arguments.script),
        fstab=_fstab(arguments.fstab),
        generates_fstab=arguments.generate_fstab,
        allow_large=arguments.allow_large,
    )


def _scheme(word: str) -> PartitionScheme | None:
    if word in (AUTO, NONE):
        return None
    if word not in tuple(PartitionScheme):
        raise UsageError(f"--partition {word!r}: expected one of auto, gpt, mbr, none")
    return PartitionScheme(word)


def _firmware(word: str) -> frozenset[Firmware] | None:
    if word == AUTO:
        return None
    if word == "both":
        return frozenset(Firmware)
    if word not in tuple(Firmware):
        raise UsageError(f"--firmware {word!r}: expected one of auto, bios, uefi, both")
    return frozenset((Firmware(word),))


def _size(word: str) -> int | None:
    if word == AUTO:
        return None
    if not word.isascii() or not word.isdigit() or len(word) > 9 or not int(word):
        raise UsageError(f"--size {word!r}: expected auto, or a number of MiB")
    return int(word) * MIB


def _boot_loader(word: str) -> bool:
    if word not in (AUTO, NONE):
        raise UsageError(f"--boot-loader {word!r}: expected auto or none")
    return word == AUTO


def _program(path: Path | None) -> Path | None:
    if path is None:
        return None
    if not path.is_file():
        raise UsageError(f"--script {path}: expected a program, got no file")
    if not path.stat().st_mode & 0o111:
        raise UsageError(f"--script {path}: expected a program, got a file that is not executable")
    return path.absolute()


def _fstab(path: Path | None) -> bytes | None:
    return None if path is None else load_fstab(path)
