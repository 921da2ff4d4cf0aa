"""Read what a volume is before it is copied: its mounts, their file systems, and its disk."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from bundler.codec.block_devices import COLUMNS, parse_block_devices, plain_text
from bundler.codec.mountinfo import ancestors, parse_mountinfo, visible_mounts
from bundler.errors import HostError, InputError, MissingError
from bundler.host.block_devices import ThisMachine
from bundler.host.files import os_errors
from bundler.model.block_device import BlockDevice
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import LeftOutMount, Mount, SourceMount, Volume
from bundler.workflow.classify_mounts import (
    BOOT_POINTS,
    MountRules,
    is_below,
    own_mount,
    subvolume_of,
)
from bundler.workflow.source_devices import SourceDevices

ReadFileSystem = Callable[[Path], FileSystem | None]
"""What a device's file system was made with; None: not known."""

MAX_EXT_LABEL_SIZE = 16
"""Most bytes of a label of ext4.  Source: mke2fs(8)."""

_TYPES = {one.value: one for one in FileSystemType} | {"msdos": FileSystemType.VFAT}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VFAT_UUID = re.compile(r"[0-9A-F]{4}-[0-9A-F]{4}")


class Machine(Protocol):
    """What a machine says of its mounts and block devices; see host.block_devices."""

    def mount_table(self) -> bytes:
        """The lines of /proc/self/mountinfo."""

    def block_devices(self, columns: Sequence[str]) -> bytes:
        """The output of lsblk."""

    def probe(self, device: Path) -> bytes:
        """The output of blkid."""


def read_volume(
    path: Path,
    *,
    read_file_system: ReadFileSystem,
    machine: Machine | None = None,
    all_mounts: bool = False,
) -> Volume:
    """What a volume is: the file system mounted at `path`, or the tree of files there.

    Local file systems that are mounted below it on its own disk belong to it, and those of an
    operating system's boot files; `all_mounts` adds those of other disks.  What is below a
    mount that is left out is left out with it.  A tree that is no mount point becomes an ext4
    without a partition table, whatever it lies on.

    Raises:
        MissingError: there is no such directory, or a program is missing.
        InputError: it is no directory, or what the machine says cannot be understood.
        HostError: the machine refuses.
    """
    machine = machine or ThisMachine()
    with os_errors("read", path):
        volume = str(path.resolve(strict=True))
        if not path.is_dir():
            raise InputError(f"read {path}: expected a directory, got something else")
    mounts = _mounts(machine, volume)
    own = own_mount(volume, mounts)
    if own is None:
        raise InputError(f"read {path}: expected it in /proc/self/mountinfo, got no mount of it")
    devices = SourceDevices(_block_devices(machine, own), machine.probe)
    rules = MountRules(own=own, devices=devices, all_mounts=all_mounts)
    below = [one for one in mounts if is_below(one.mount_point, volume)]
    copied, left_out = _classify(below, volume, rules)
    is_mount_point = own.mount_point == volume
    root = (
        _source_mount(own, "/", devices, read_file_system) if is_mount_point else _tree(volume, own)
    )
    sources = (
        root,
        *(_source_mount(one, where, devices, read_file_system) for one, where in copied),
    )
    scheme, disk_id = _table(own, copied, devices) if is_mount_point else (None, "")
    return Volume(
        path=volume,
        is_mount_point=is_mount_point,
        mounts=sources,
        left_out=left_out,
        scheme=scheme,
        disk_id=disk_id,
    )


def volume_notes(volume: Volume) -> tuple[str, ...]:
    """What a person should know: file systems that become others."""
    return tuple(
        f"{one.path}: {one.type} cannot be made; its files go into {one.file_system.type}"
        for one in volume.mounts
        if volume.is_mount_point and one.type not in _TYPES
    )


def _mounts(machine: Machine, volume: str) -> tuple[Mount, ...]:
    """The visible mounts; those of boot files that are mounted on demand are mounted now."""
    mounts = visible_mounts(parse_mountinfo(machine.mount_table()))
    boot_points = {f"{volume.rstrip('/')}{point}" for point in BOOT_POINTS}
    waiting = [one.mount_point for one in mounts if one.type == "autofs"]
    wanted = boot_points.intersection(waiting)
    if not wanted:
        return mounts
    for point in wanted:
        with suppress(OSError):
            next(Path(point).iterdir(), None)
    return visible_mounts(parse_mountinfo(machine.mount_table()))


def _block_devices(machine: Machine, own: Mount) -> tuple[BlockDevice, ...]:
    """What lsblk knows; a volume without a device, as of a container, does without it."""
    try:
        return parse_block_devices(machine.block_devices(COLUMNS))
    except (HostError, MissingError):
        if own.source.startswith("/dev/"):
            raise
        return ()


def _classify(
    below: Sequence[Mount], volume: str, rules: MountRules
) -> tuple[list[tuple[Mount, str]], tuple[LeftOutMount, ...]]:
    """Mounts that are copied, with their paths in the volume, and those that are not."""
    copied: list[tuple[Mount, str]] = []
    left_out: dict[str, LeftOutMount] = {}
    seen = set()
    for mount in below:  # in the order of their paths: what is outside comes first
        path = mount.mount_point if volume == "/" else mount.mount_point[len(volume) :]
        if any(one in left_out for one in ancestors(path)):
            continue
        reason = rules.reason(mount, path)
        files = (mount.device_number, mount.source, mount.root)
        if not reason and files in seen:
            reason = "a file system that is mounted elsewhere in the volume, too"
        if reason:
            left_out[path] = LeftOutMount(
                path=path, type=mount.type, source=mount.source, reason=reason
            )
        else:
            seen.add(files)
            copied.append((mount, path))
    return copied, tuple(left_out.values())


def _source_mount(
    mount: Mount, path: str, devices: SourceDevices, read_file_system: ReadFileSystem
) -> SourceMount:
    device = devices.of(mount)
    node = device.path if device else mount.source if mount.source.startswith("/dev/") else ""
    known = read_file_system(Path(node)) if node and mount.type in _TYPES else None
    uuid, label = devices.uuid_and_label(device) if device else ("", "")
    return SourceMount(
        path=path,
        mount_point=mount.mount_point,
        device=node,
        file_system=_file_system(mount.type, uuid, label, known),
        type=mount.type,
        partition_uuid=devices.partition_uuid(device) if device else "",
        subvolume=subvolume_of(mount),
    )


def _file_system(kind: str, uuid: str, label: str, known: FileSystem | None) -> FileSystem:
    """What is made in a file system's place, as near to it as can be."""
    made = _TYPES.get(kind, FileSystemType.EXT4)
    if known and (known.type is made or (known.type.is_ext and made.is_ext)):
        return known
    uuid = uuid.upper() if made is FileSystemType.VFAT else uuid.lower()
    pattern = _VFAT_UUID if made is FileSystemType.VFAT else _UUID
    if kind not in _TYPES and len(label.encode()) > MAX_EXT_LABEL_SIZE:
        label = ""
    return FileSystem(
        type=made, uuid=uuid if pattern.fullmatch(uuid) else "", label=plain_text(label)
    )


def _tree(volume: str, own: Mount) -> SourceMount:
    """A directory: of the file system that it lies on, only the type is told."""
    file_system = FileSystem(type=FileSystemType.EXT4)
    return SourceMount(
        path="/", mount_point=volume, device="", file_system=file_system, type=own.type
    )


def _table(
    own: Mount, copied: Sequence[tuple[Mount, str]], devices: SourceDevices
) -> tuple[PartitionScheme | None, str]:
    """The partition table of the volume's disk, or that of /boot when the volume is in none."""
    boot = [mount for mount, path in copied if path in BOOT_POINTS]
    for mount in (own, *boot):
        device = devices.of(mount)
        table = devices.table(device) if device else None
        if table:
            return table
    return None, ""
