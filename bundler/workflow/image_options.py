"""What is asked of an image of a volume."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bundler.model.disk import Firmware
from bundler.model.partition_table import PartitionScheme


class SnapshotKind(StrEnum):
    """What files are copied from."""

    NONE = "none"
    """The volume itself."""
    AUTO = "auto"
    """A snapshot of the kind that the root volume can have."""
    BTRFS = "btrfs"
    LVM = "lvm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """What is imaged, and what the image shall be."""

    volume: Path
    may_mount: bool
    """Whether this process may; else a tree is imaged into one file system, by a copy of it."""
    includes_all_mounts: bool
    """Whether what is mounted below it from other disks and the network is copied as well."""
    freezes: bool
    snapshot: SnapshotKind
    scheme: PartitionScheme | None
    """The partition table; None: none, or, with `has_own_scheme`, the volume's."""
    has_own_scheme: bool
    firmware: frozenset[Firmware] | None
    """What shall start the image's boot loader; None: whatever the volume has one for."""
    size: int | None
    """Bytes; None: what is needed."""
    has_boot_loader: bool
    updates_initramfs: bool
    script: Path | None
    fstab: bytes | None
    generates_fstab: bool
    allow_large: bool
