"""Count what files need of the file systems that they will be in."""

import os
import stat
from collections.abc import Mapping, Sequence

from bundler.model.disk import Usage

BLOCK_SIZE = 4096
"""Bytes of a block, as ext4 and xfs make them."""

_MAX_OTHER_SIZE = 64 * 1024
"""Most bytes of blocks that are counted of a file beside its data: those of xattrs, of which
xfs takes so much, and of old ext file systems' block maps.  What is more was allocated ahead."""

_STAT_BLOCK_SIZE = 512
"""Bytes that st_blocks counts in.  Source: inode(7)."""


class UsageTally:
    """Adds up files, by the mount point they are below; hard links once."""

    def __init__(self, mount_points: Sequence[str]) -> None:
        self._sizes = dict.fromkeys(mount_points, 0)
        self._inode_counts = dict.fromkeys(mount_points, 0)
        self._linked: set[tuple[int, int]] = set()
        self.apparent_size = 0
        self.file_count = 0
        self.directory_count = 0

    def add(self, mount_point: str, state: os.stat_result, name_size: int) -> None:
        """Count a file or directory by what lstat() tells of it, and its name's bytes."""
        mode = state.st_mode
        self._sizes[mount_point] += _entry_size(name_size)
        if stat.S_ISDIR(mode):
            self.add_directory(mount_point)
            return
        self.file_count += 1
        if state.st_nlink > 1:
            identity = (state.st_dev, state.st_ino)
            if identity in self._linked:
                return
            self._linked.add(identity)
        self._inode_counts[mount_point] += 1
        self._sizes[mount_point] += _other_size(state)
        if stat.S_ISREG(mode):
            self.apparent_size += state.st_size
            self._sizes[mount_point] += _blocks_size(state)

    def add_directory(self, mount_point: str) -> None:
        """Count a directory."""
        self.directory_count += 1
        self._inode_counts[mount_point] += 1
        self._sizes[mount_point] += BLOCK_SIZE

    def usage(self) -> Mapping[str, Usage]:
        """What is needed at each mount point."""
        return {
            mount_point: Usage(size=size, inode_count=self._inode_counts[mount_point])
            for mount_point, size in self._sizes.items()
        }


def _entry_size(name_size: int) -> int:
    """Bytes of a name in a directory, whose blocks may be but half full once it was split."""
    return 2 * (12 + name_size)


def _other_size(state: os.stat_result) -> int:
    """Bytes of the blocks that a file has beside its data; of a symbolic link all."""
    data = _round_up(state.st_size) if stat.S_ISREG(state.st_mode) else 0
    other = _round_up(state.st_blocks * _STAT_BLOCK_SIZE) - data
    return max(0, min(other, _MAX_OTHER_SIZE))


def _blocks_size(state: os.stat_result) -> int:
    """Bytes of the blocks that a file's data needs, holes not counted."""
    size = _round_up(state.st_size)
    if size <= BLOCK_SIZE:  # data of small files may be in the inode, which takes no block
        return size
    return min(size, _round_up(state.st_blocks * _STAT_BLOCK_SIZE))


def _round_up(size: int) -> int:
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE
