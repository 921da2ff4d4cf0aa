"""Count what files need of the file systems that they will be in."""

import os
import stat
from collections.abc import Mapping, Sequence

from bundler.model.disk import Usage

BLOCK_SIZE = 4096
"""Bytes of a block, as ext4 and xfs make them."""

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

    def add(self, mount_point: str, state: os.stat_result) -> None:
        """Count a file or directory by what lstat() tells of it."""
        mode = state.st_mode
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
        if stat.S_ISREG(mode):
            self.apparent_size += state.st_size
            self._sizes[mount_point] += _blocks_size(state)
        elif stat.S_ISLNK(mode) and state.st_blocks:
            self._sizes[mount_point] += BLOCK_SIZE

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


def _blocks_size(state: os.stat_result) -> int:
    """Bytes of the blocks that a file's data needs, holes not counted."""
    size = _round_up(state.st_size)
    if size <= BLOCK_SIZE:  # data of small files may be in the inode, which takes no block
        return size
    return min(size, _round_up(state.st_blocks * _STAT_BLOCK_SIZE))


def _round_up(size: int) -> int:
    return -(-size // BLOCK_SIZE) * BLOCK_SIZE
