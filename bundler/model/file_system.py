"""File systems, as they are made anew in an image."""

from dataclasses import dataclass
from enum import StrEnum


class FileSystemType(StrEnum):
    """Types that an image's file systems can have, by the kernel's words for them."""

    EXT2 = "ext2"
    EXT3 = "ext3"
    EXT4 = "ext4"
    XFS = "xfs"
    BTRFS = "btrfs"
    VFAT = "vfat"

    @property
    def is_ext(self) -> bool:
        """Whether mke2fs makes it."""
        return self in (FileSystemType.EXT2, FileSystemType.EXT3, FileSystemType.EXT4)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """What a file system is made with, so that it is found and read as the old one was."""

    type: FileSystemType
    uuid: str = ""
    """As blkid writes it: lower case, of vfat such as "1A2B-3C4D"; empty: a new one."""
    label: str = ""
    features: tuple[str, ...] = ()
    """As the program that makes it spells them; empty: its defaults."""
    block_size: int = 0
    """Bytes; 0: the program's default."""
    inode_size: int = 0
    """Bytes; 0: the program's default."""
    inode_count: int = 0
    """Least number of inodes of an ext file system; 0: the program's default."""
