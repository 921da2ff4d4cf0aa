"""Block devices of this machine and what is on them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDevice:
    """A block device as lsblk describes it; what is not known is empty."""

    kernel_name: str
    """Such as "nvme0n1p1", "xvda" or "dm-0"."""
    path: str
    """Its device node, such as "/dev/mapper/rhel-root"."""
    number: str
    """Major and minor number, such as "259:1"."""
    type: str
    """Such as "disk", "part", "lvm", "crypt", "raid1" or "loop"."""
    parents: tuple[str, ...] = ()
    """Kernel names of the devices that it lies on; none of a disk."""
    file_system: str = ""
    """What libblkid finds on it, such as "ext4" or "LVM2_member"."""
    uuid: str = ""
    label: str = ""
    partition_uuid: str = ""
    table: str = ""
    """Of its partition table, or of the one that it is in: "gpt" or "dos"."""
    table_id: str = ""
    model: str = ""
    size: int = 0
    """Bytes."""
