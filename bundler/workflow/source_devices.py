"""Where the file systems that are mounted lie: their devices, and the disks below those."""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bundler.codec.block_devices import parse_probe, plain_text, table_id
from bundler.model.block_device import BlockDevice
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import Mount

_SCHEMES = {"gpt": PartitionScheme.GPT, "dos": PartitionScheme.MBR}
"""By libblkid's names of partition tables."""

_TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partition_uuid"}

Probe = Callable[[Path], bytes]


class SourceDevices:
    """The block devices of a machine; `probe` asks blkid for what lsblk does not know."""

    def __init__(self, devices: Sequence[BlockDevice], probe: Probe) -> None:
        self._by_name = {device.kernel_name: device for device in devices}
        self._by_number = {device.number: device for device in devices}
        self._by_path = {device.path: device for device in devices}
        self._by_path |= {f"/dev/{device.kernel_name}": device for device in devices}
        self._probe = probe
        self._probed: dict[str, Mapping[str, str]] = {}

    def of(self, mount: Mount) -> BlockDevice | None:
        """The device of a mount; None: it has none, or it is not known here.

        The number comes first, as names may be old ones ("/dev/root"); of btrfs it is not the
        device's.
        """
        found = self._by_number.get(mount.device_number) or self._by_path.get(mount.source)
        if found:
            return found
        name, separator, value = mount.source.partition("=")
        if separator and name in _TAGS and value:
            devices = self._by_name.values()
            return next((one for one in devices if getattr(one, _TAGS[name]) == value), None)
        if mount.source.startswith("/dev/"):
            # Such as /dev/disk/by-uuid/..., or /dev/vg/root: a link on this machine.
            return self._by_path.get(posixpath.realpath(mount.source))
        return None

    def below(self, device: BlockDevice) -> Iterator[BlockDevice]:
        """The devices that it lies on, the nearest first, each once."""
        seen, level = {device.kernel_name}, list(device.parents)
        while level:
            following: list[str] = []
            for name in level:
                parent = self._by_name.get(name)
                if parent and name not in seen:
                    seen.add(name)
                    yield parent
                    following.extend(parent.parents)
            level = following

    def disks(self, device: BlockDevice) -> tuple[BlockDevice, ...]:
        """What has nothing below it: the disks that a device lies on, or itself."""
        lowest = tuple(one for one in (device, *self.below(device)) if not one.parents)
        return lowest or (device,)

    def table(self, device: BlockDevice) -> tuple[PartitionScheme, str] | None:
        """The partition table that a device lies in, and its identifier; None: in none."""
        for part in (device, *self.below(device)):
            if part.type != "part":
                continue
            disks = filter(None, map(self._by_name.get, part.parents))
            for name, identifier in (*map(self._own_table, disks), (part.table, part.table_id)):
                if name in _SCHEMES:
                    return _SCHEMES[name], identifier
        return None

    def _own_table(self, disk: BlockDevice) -> tuple[str, str]:
        """Kind and identifier of the table on a disk; lsblk knows neither before 2.33."""
        if disk.table and disk.table_id:
            return disk.table, disk.table_id
        found = self.probe(disk)
        return (
            disk.table or found.get("ID_PART_TABLE_TYPE", ""),
            disk.table_id or table_id(found.get("ID_PART_TABLE_UUID", "")),
        )

    def uuid_and_label(self, device: BlockDevice) -> tuple[str, str]:
        """Of the file system on a device; empty where it has none."""
        if device.uuid:
            return device.uuid, device.label
        found = self.probe(device)
        names = ("ID_FS_UUID_ENC", "ID_FS_LABEL_ENC")
        uuid, label = (plain_text(found.get(name, "")) for name in names)
        return uuid, device.label or label

    def partition_uuid(self, device: BlockDevice) -> str:
        """Its PARTUUID; empty when it is no partition."""
        if device.partition_uuid or device.type != "part":
            return device.partition_uuid
        return self.probe(device).get("ID_PART_ENTRY_UUID", "").lower()

    def probe(self, device: BlockDevice) -> Mapping[str, str]:
        """What blkid finds on a device, asked once."""
        if device.path not in self._probed:
            self._probed[device.path] = parse_probe(self._probe(Path(device.path)))
        return self._probed[device.path]
