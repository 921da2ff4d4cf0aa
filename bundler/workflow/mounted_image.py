"""A new image while it is mounted: what is still to be put into it finds its way by this."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.model.disk import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedImage:
    """An image's file systems, mounted below `root` in a mount namespace of this process's own.

    For programs of the image's own that are run by chroot, /proc and /sys are mounted there,
    and a /dev that has but the usual pseudo devices, `device` and `partition_devices`, with
    their links in /dev/disk/by-uuid.  What is at the ESP's mount point is a directory that is
    copied into the partition at the end: that works where the kernel knows no vfat.
    """

    root: Path
    disk: Disk
    device: Path
    """The loop device of the whole image."""
    partition_devices: Mapping[str, Path]
    """By mount point, the loop device of each file system but the ESP; without a partition
    table that of "/" is `device`."""
