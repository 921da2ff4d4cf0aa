"""The disk that an image is: its partitions and what is in them."""

from dataclasses import dataclass
from enum import StrEnum

from bundler.model.file_system import FileSystem
from bundler.model.partition_table import PartitionScheme


class PartitionRole(StrEnum):
    """What a partition is for."""

    BIOS_BOOT = "bios-boot"
    """For GRUB's code on disks with a GPT; no file system."""
    ESP = "esp"
    """The EFI system partition."""
    BOOT = "boot"
    ROOT = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One partition; offset and size in bytes."""

    number: int
    """From 1, as in device names; 0 when the image is this file system alone."""
    role: PartitionRole
    offset: int
    size: int
    mount_point: str = ""
    """Absolute path in the image, such as "/" or "/boot"; empty where nothing is mounted."""
    file_system: FileSystem | None = None
    uuid: str = ""
    """PARTUUID: of a GPT lower case with hyphens, of an MBR such as "1a2b3c4d-01"."""
    is_bootable: bool = False
    """An MBR's active partition; with a GPT, the one for boot code of BIOS (attribute bit 2)."""

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """An image's whole; size in bytes."""

    size: int
    scheme: PartitionScheme | None
    """None: one bare file system, no partition table."""
    id: str
    """The GPT's disk GUID, or the MBR's eight hexadecimal digits; empty without a table."""
    partitions: tuple[Partition, ...]

    def at(self, mount_point: str) -> Partition | None:
        """The partition that is mounted there."""
        return next((one for one in self.partitions if one.mount_point == mount_point), None)

    @property
    def root(self) -> Partition:
        """The partition of the root file system."""
        return next(one for one in self.partitions if one.role is PartitionRole.ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What files need of a file system."""

    size: int = 0
    """Bytes of whole blocks of 4 KiB: files' data, and one for each directory."""
    inode_count: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(size=self.size + other.size, inode_count=self.inode_count + other.inode_count)


class Firmware(StrEnum):
    """What starts a disk's boot loader."""

    BIOS = "bios"
    UEFI = "uefi"
