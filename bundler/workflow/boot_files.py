"""An image's files that say how it is booted: found, and rewritten for its disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundler.codec.boot_config import BootConfigKind, BootNames, rewrite_boot_config
from bundler.errors import HostError
from bundler.host.rooted_files import RootedFiles
from bundler.host.run import find_program, run
from bundler.model.bundle import MIB
from bundler.model.disk import Partition, PartitionRole
from bundler.workflow.mounted_image import MountedImage

MAX_CONFIG_SIZE = MIB
"""Most bytes of a configuration file; our choice."""

SYSLINUX_CONFIGS = (
    "/boot/extlinux/extlinux.conf",
    "/boot/extlinux.conf",
    "/boot/syslinux/extlinux.conf",
    "/boot/syslinux/syslinux.cfg",
    "/extlinux.conf",
)
LEGACY_CONFIGS = ("/boot/grub/menu.lst", "/boot/grub/grub.conf")
GRUB_DIRECTORIES = ("/boot/grub", "/boot/grub2")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootedImage:
    """An image as those see it that make it bootable."""

    image: MountedImage
    files: RootedFiles
    names: BootNames

    @property
    def boot_mount_point(self) -> str:
        """The mount point of the file system that has /boot."""
        return "/boot" if "/boot" in self.image.partition_devices else "/"

    @property
    def boot_partition(self) -> Partition:
        """The partition that has /boot."""
        return self.image.disk.at(self.boot_mount_point) or self.image.disk.root

    @property
    def esp(self) -> str:
        """The mount point of the EFI system partition; empty: there is none."""
        return next((one.mount_point for one in _esps(self.image)), "")

    def run(self, *argv: str, **environment: str) -> bytes:
        """Run a program of the image.

        Raises:
            MissingError, HostError: see run().
        """
        chroot = find_program("chroot", package="coreutils")
        return run((chroot, self.image.root, *argv), environment=environment)


def open_booted_image(image: MountedImage) -> BootedImage:
    """Find out what the image's file systems are called.

    Raises:
        HostError: one cannot be looked at.
    """
    files = RootedFiles(root=image.root)
    return BootedImage(image=image, files=files, names=_names(image, files))


def rewrite_configs(booted: BootedImage) -> tuple[str, ...]:
    """Rewrite every configuration of a boot loader for the image's disk; what has changed.

    Raises:
        InputError: one is larger than a configuration can be.
        HostError: one cannot be read or written.
    """
    notes: list[str] = []
    for path, kind in _configs(booted):
        old = booted.files.read(path, MAX_CONFIG_SIZE)
        if old is None:
            continue
        new, said = rewrite_boot_config(old, kind, booted.names)
        if new != old:
            booted.files.write(path, new)
        notes += [f"{path}: {one}" for one in said]
    return tuple(notes)


def _configs(booted: BootedImage) -> Iterator[tuple[str, BootConfigKind]]:
    files, kind = booted.files, BootConfigKind
    yield "/etc/default/grub", kind.DEFAULTS
    for path in _below(files, "/etc/default/grub.d", ".cfg"):
        yield path, kind.DEFAULTS
    yield "/etc/kernel/cmdline", kind.COMMAND_LINE
    for directory in (*GRUB_DIRECTORIES, *_efi_directories(booted)):
        yield f"{directory}/grub.cfg", kind.GRUB
        yield f"{directory}/custom.cfg", kind.GRUB
        yield f"{directory}/grubenv", kind.ENVIRONMENT
    for directory in filter(None, ("/boot", booted.esp)):
        for path in _below(files, f"{directory}/loader/entries", ".conf"):
            yield path, kind.ENTRY
    for path in SYSLINUX_CONFIGS:
        yield path, kind.SYSLINUX
    for path in LEGACY_CONFIGS:
        yield path, kind.LEGACY


def _efi_directories(booted: BootedImage) -> Iterator[str]:
    """Where the distribution's own loaders are on the ESP."""
    if booted.esp:
        for name in booted.files.names(booted.esp):
            if name.lower() == "efi":
                above = f"{booted.esp}/{name}"
                yield from (f"{above}/{one}" for one in booted.files.names(above))


def _below(files: RootedFiles, directory: str, suffix: str) -> Iterator[str]:
    return (f"{directory}/{name}" for name in files.names(directory) if name.endswith(suffix))


def _esps(image: MountedImage) -> Iterator[Partition]:
    return (
        one for one in image.disk.partitions if one.role is PartitionRole.ESP and one.mount_point
    )


def _names(image: MountedImage, files: RootedFiles) -> BootNames:
    disk = image.disk
    root, boot = disk.root, disk.at("/boot")
    uuids = {one.mount_point: _uuid(image, one) for one in disk.partitions if one.file_system}
    boot_number = (boot or root).number
    return BootNames(
        root_uuid=uuids[root.mount_point],
        boot_uuid=uuids["/boot"] if boot else uuids[root.mount_point],
        root_label=root.file_system.label if root.file_system else "",
        root_type=root.file_system.type.value if root.file_system else "",
        root_partition_uuid=root.uuid if disk.scheme else "",
        uuids=frozenset(uuid.lower() for uuid in uuids.values() if uuid),
        boot_path="" if boot else "/boot",
        boot_files=frozenset(files.names("/boot")),
        legacy_device=f"(hd0,{boot_number - 1})" if disk.scheme else "(hd0)",
    )


def _uuid(image: MountedImage, partition: Partition) -> str:
    """The UUID of a file system; empty of an ESP that has none yet."""
    system = partition.file_system
    if system is not None and system.uuid:
        return system.uuid
    device: Path | None = image.partition_devices.get(partition.mount_point)
    if device is None:
        return ""
    blkid = find_program("blkid", package="util-linux")
    found = run((blkid, "-p", "-o", "value", "-s", "UUID", device)).decode(errors="replace").strip()
    if not found:
        raise HostError(f"look at {device.name}: expected a file system with a UUID, got none")
    return found
