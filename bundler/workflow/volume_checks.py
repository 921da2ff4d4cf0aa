"""Findings on a volume that is to be imaged: what could end the work, before it begins."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bundler.errors import BundlerError, MissingError
from bundler.host.block_devices import find_blkid, find_lsblk
from bundler.host.esp import find_mcopy
from bundler.host.file_systems import find_maker
from bundler.host.files import scratch_file
from bundler.host.freeze import check_may_freeze
from bundler.host.loop_device import attach
from bundler.host.rsync import find_rsync
from bundler.host.run import find_program
from bundler.model.boot_loader import BootLoader
from bundler.model.bundle import MIB
from bundler.model.disk import Disk, Firmware, PartitionRole
from bundler.model.selection import Findings, Selection
from bundler.model.volume import Volume
from bundler.workflow.boot_loader import NO_BIOS_LOADER, bios_loader, firmwares, wants_bios
from bundler.workflow.doctor import Finding
from bundler.workflow.efi_boot_loader import NO_EFI_LOADER
from bundler.workflow.image_options import ImageOptions, SnapshotKind
from bundler.workflow.image_volume import VolumePlan
from bundler.workflow.local_checks import format_size
from bundler.workflow.select_files import check_no_secrets
from bundler.workflow.snapshots import check_snapshot, snapshot_kind

_TOLD_COUNT = 5


def check_root(*, may_mount: bool) -> Iterator[Finding]:
    """What this process may, and what follows from that."""
    if may_mount:
        yield Finding.ok("root", "this process may mount (CAP_SYS_ADMIN)")
        return
    yield Finding.warn(
        "root",
        "this process may not mount (CAP_SYS_ADMIN): the tree is copied, and becomes one ext4 "
        "without a partition table and boot loader",
        "be root for these, and for files and owners that others may not read or set",
    )


def check_programs(*, may_mount: bool) -> Iterator[Finding]:
    """Programs that look at any volume, and copy it."""
    finders = (find_rsync, find_lsblk, find_blkid) if may_mount else (find_rsync,)
    yield from _look_for("programs", finders)


def check_image_programs(options: ImageOptions, disk: Disk) -> Iterator[Finding]:
    """Programs that make the image's file systems, fill the EFI one, and run others in it."""
    kinds = sorted({one.file_system.type for one in disk.partitions if one.file_system})
    finders: list[Callable[[], Path]] = [partial(find_maker, kind) for kind in kinds]
    if any(one.role is PartitionRole.ESP for one in disk.partitions):
        finders.append(find_mcopy)
    if options.has_boot_loader and disk.scheme:
        finders.append(partial(find_program, "chroot", package="coreutils"))
    yield from _look_for("image-programs", finders)


def check_loop_devices(scratch: Path) -> Iterator[Finding]:
    """Whether a file in the scratch directory can be a loop device.

    Raises:
        MissingError, HostError: it cannot.
    """
    with scratch_file(scratch) as file:
        file.truncate(MIB)
        with attach(file.fileno()):
            yield Finding.ok("loop-devices", f"a file in {scratch} can be one")


def check_mounts(volume: Volume) -> Iterator[Finding]:
    """What is copied, and what that is mounted in the volume is not."""
    for one in volume.mounts:
        words = f"{one.path} is copied: {one.type} {one.device or one.mount_point}"
        yield Finding.ok("mounts", words)
    others = []
    for left in volume.left_out:
        if left.source.startswith("/dev/"):
            words = f"{left.path} is left out: {left.type} {left.source}: {left.reason}"
            yield Finding.warn("mounts", words)
        else:
            others.append(f"{left.path} ({left.type})")
    if others:
        yield Finding.ok("mounts", f"left out: {', '.join(others)}")


def check_consistency(
    options: ImageOptions, volume: Volume, writers: Iterable[Path]
) -> Iterator[Finding]:
    """Whether the files can be those of one moment, as --freeze and --snapshot want them.

    Raises:
        UsageError, MissingError, HostError: they cannot.
    """
    points = [Path(mount.mount_point) for mount in volume.mounts]
    if options.freezes:
        check_may_freeze(points, tuple(writers))
        yield Finding.ok("consistency", "the file systems are frozen while they are copied")
    taken = []
    for mount in volume.mounts:
        kind = snapshot_kind(options.snapshot, volume, mount)
        if kind is not SnapshotKind.NONE:
            check_snapshot(mount, kind)
            taken.append(f"{mount.path} ({kind})")
    if taken:
        yield Finding.ok("consistency", f"copied from snapshots: {', '.join(taken)}")
    elif not options.freezes:
        remedy = "stop what writes databases, or see --freeze and --snapshot"
        yield Finding.warn("consistency", "files may change while they are copied", remedy)


def check_boot_loader(options: ImageOptions, plan: VolumePlan) -> Iterator[Finding]:
    """Whether the image will boot, and by what."""
    disk, loaders = plan.disk, plan.loaders
    found = ", ".join(firmwares(loaders)) or "none"
    if disk.scheme is None or not options.has_boot_loader:
        why = "--boot-loader none" if disk.scheme else "no partition table"
        words = f"{why}: none is installed (the volume has one for: {found})"
        yield Finding.warn("boot-loader", words, "the image boots by another's kernel only")
        return
    loader = bios_loader(loaders)
    has_esp = any(one.role is PartitionRole.ESP for one in disk.partitions)
    if wants_bios(disk, loader, has_esp=has_esp):
        if loader is BootLoader.NONE:
            raise MissingError(NO_BIOS_LOADER)
        program = loaders.grub_install if loader is BootLoader.GRUB2 else loaders.extlinux
        by = f", by the volume's {program}" if program else ""
        yield Finding.ok("boot-loader", f"for a BIOS: {loader}{by}")
    if has_esp:
        if Firmware.UEFI not in firmwares(loaders):
            raise MissingError(NO_EFI_LOADER)
        files = ", ".join(loaders.efi_loaders) or f"made by the volume's {loaders.grub_mkimage}"
        yield Finding.ok("boot-loader", f"for UEFI: {files}")


def check_partitions(plan: VolumePlan) -> Iterator[Finding]:
    """What the image would be like; what is not as on the volume."""
    disk = plan.disk
    table = disk.scheme or "no partition table"
    yield Finding.ok("partitions", f"{disk.size // MIB} MiB, {table}")
    for one in disk.partitions:
        kind = one.file_system.type.value if one.file_system else "no file system"
        words = f"{one.number}: {one.role} {one.mount_point}".rstrip()
        yield Finding.ok("partitions", f"{words}, {one.size // MIB} MiB, {kind}")
    for note in plan.notes:
        yield Finding.warn("partitions", note)


def check_secrets(selection: Selection, *, must_be_none: bool) -> Iterator[Finding]:
    """What is left out as secret, and what is copied though it may be.

    Raises:
        VerificationError: there are secrets, and none may be.
    """
    if must_be_none:
        check_no_secrets(selection)
    count = selection.secrets.count
    if count:
        words = f"{count} are left out: {_first(selection.secrets)}"
        yield Finding.warn("secrets", words, "see ami-bundler volume --dry-run")
    else:
        yield Finding.ok("secrets", "none was found")
    if selection.suspicious.count:
        words = f"copied, and suspicious: {_first(selection.suspicious)}"
        yield Finding.warn("secrets", words, "--exclude what should not be in the image")


def describe_selection(selection: Selection) -> str:
    """How much is copied."""
    return (
        f"{selection.file_count} files and {selection.directory_count} directories, "
        f"{format_size(selection.size)}; {selection.left_out.count} are left out"
    )


def _look_for(check: str, finders: Iterable[Callable[[], Path]]) -> Iterator[Finding]:
    """One finding for each program that is missing, and one for all that are there."""
    found = []
    for find in finders:
        try:
            path = str(find())
        except BundlerError as error:
            yield Finding.of_error(check, error)
        else:
            found.append(path)
    if found:
        yield Finding.ok(check, ", ".join(dict.fromkeys(found)))


def _first(findings: Findings) -> str:
    paths = ", ".join(
        f"/{os.fsdecode(one.path)} ({one.reason})" for one in findings.told[:_TOLD_COUNT]
    )
    return f"{paths}, ..." if findings.count > _TOLD_COUNT else paths
