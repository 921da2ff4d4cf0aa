"""Look up one file in an ext2, ext3 or ext4 file system, without mounting it.

Just enough to read the first bytes of a program, or a small file; what is not understood
(encryption, inline data, damage, a hostile image) gives None.  Everything read is bounded.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Self

Read = Callable[[int, int], bytes]
"""read(offset, size): bytes of the file system; fewer at its end."""

MAX_DIRECTORY_SIZE = 4 * 1024 * 1024
"""Most bytes of a directory that are searched; our choice."""

MAX_BLOCK_COUNT = 16 * 1024
"""Most blocks that are read in all; our choice."""

_MAGIC = 0xEF53
_SUPERBLOCK_OFFSET, _SUPERBLOCK_SIZE = 1024, 264
_ROOT_INODE = 2
_INCOMPAT_RECOVER, _INCOMPAT_META_BG, _INCOMPAT_64BIT = 0x4, 0x10, 0x80
_FLAG_EXTENTS, _FLAG_INLINE_DATA, _FLAG_ENCRYPTED = 0x80000, 0x10000000, 0x800
_FLAG_VERITY = 0x100000
_TYPE_MASK, _DIRECTORY, _REGULAR, _SYMLINK = 0xF000, 0x4000, 0x8000, 0xA000
_EXTENT_MAGIC = 0xF30A
_MAX_WRITTEN = 32768  # blocks of an extent; a larger number is one of blocks never written
_DIRECT_BLOCKS = 12
_MAX_SYMLINKS = 16
_MAX_DEPTH = 5
_MAX_WORDS = 64


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """The file system says what this reader does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A small file, whole, and where its bytes lie."""

    data: bytes
    pieces: tuple[tuple[int, int], ...]
    """Offset in the file system and size of each piece, in their order."""


class _Extent(NamedTuple):
    """Blocks of a file that lie together: where in the file, how many, and where they begin."""

    logical: int
    length: int
    first: int


class _Inode:
    """The parts of an inode that matter."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < 128:
            raise _Unreadable
        self.type = int.from_bytes(raw[0:2], "little") & _TYPE_MASK
        low, high = raw[4:8], raw[108:112]
        is_regular = self.type == _REGULAR
        self.size = int.from_bytes(low + high if is_regular else low, "little")
        self.flags = int.from_bytes(raw[32:36], "little")
        self.blocks = raw[40:100]
        if self.flags & (_FLAG_INLINE_DATA | _FLAG_ENCRYPTED):
            raise _Unreadable


class ExtFileSystem:
    """An ext file system behind a read function; find it with open()."""

    def __init__(self, read: Read, superblock: bytes) -> None:
        number = struct.Struct("<I").unpack_from
        self._read = read
        self._blocks_left = MAX_BLOCK_COUNT
        self._block_size = 1024 << min(number(superblock, 24)[0], 6)
        self._first_block = number(superblock, 20)[0]
        self._inodes_per_group = number(superblock, 40)[0]
        self._inode_count = number(superblock, 0)[0]
        is_dynamic = number(superblock, 76)[0] > 0
        self._inode_size = struct.unpack_from("<H", superblock, 88)[0] if is_dynamic else 128
        incompatible = number(superblock, 96)[0] if is_dynamic else 0
        self.needs_recovery = bool(incompatible & _INCOMPAT_RECOVER)
        """Whether it was in use: what its journal holds is to be written yet."""
        self._descriptor_size = 32
        if incompatible & _INCOMPAT_64BIT:
            self._descriptor_size = struct.unpack_from("<H", superblock, 254)[0]
        is_odd = not (128 <= self._inode_size <= 4096 and 32 <= self._descriptor_size <= 1024)
        if incompatible & _INCOMPAT_META_BG or is_odd or not self._inodes_per_group:
            raise _Unreadable

    @classmethod
    def open(cls, read: Read) -> Self | None:
        """The file system that begins at offset 0; None when there is none."""
        superblock = read(_SUPERBLOCK_OFFSET, _SUPERBLOCK_SIZE)
        is_ext = len(superblock) == _SUPERBLOCK_SIZE and (
            int.from_bytes(superblock[56:58], "little") == _MAGIC
        )
        try:
            return cls(read, superblock) if is_ext else None
        except _Unreadable:
            return None

    def read_start(self, path: str, size: int) -> bytes | None:
        """The first bytes of a regular file, at most a block; symbolic links are followed."""
        try:
            inode = self._find(path)
            if inode is None or inode.type != _REGULAR:
                return None
            block = next(self._data_blocks(inode), None)
            if block is None:
                return None
            return self._block(block)[: min(size, inode.size)]
        except (_Unreadable, struct.error):
            return None

    def find_file(self, path: str, limit: int) -> StoredFile | None:
        """A regular file of at most `limit` bytes; symbolic links are followed.

        None, too, when some of its bytes are not in blocks of its own, or may not be changed.
        """
        try:
            inode = self._find(path)
            if inode is None or inode.type != _REGULAR or inode.flags & _FLAG_VERITY:
                return None
            count = -(-inode.size // self._block_size)
            if inode.size > limit or not self._is_dense(inode, count):
                return None
            numbers = list(self._data_blocks(inode))
            data = b"".join(map(self._block, numbers))[: inode.size]
        except (_Unreadable, struct.error):
            return None
        sizes = [self._block_size] * count
        if count:
            sizes[-1] -= count * self._block_size - inode.size
        offsets = [number * self._block_size for number in numbers]
        if len(offsets) != count or len(data) != inode.size:
            return None
        return StoredFile(data=data, pieces=tuple(zip(offsets, sizes, strict=True)))

    def _is_dense(self, inode: _Inode, count: int) -> bool:
        """Whether an inode's first blocks are all there: neither holes nor unwritten."""
        if not inode.flags & _FLAG_EXTENTS:
            direct = struct.unpack_from(f"<{_DIRECT_BLOCKS}I", inode.blocks)
            return count <= _DIRECT_BLOCKS and all(direct[:count])
        expected = 0
        for extent in islice(self._extents(inode.blocks, _MAX_DEPTH), count):
            if extent.logical != expected or extent.length > _MAX_WRITTEN:
                return False
            expected += extent.length
        return expected >= count

    def _find(self, path: str) -> _Inode | None:
        """Walk from the root; a symbolic link puts its target's words in front of the rest."""
        words = path.strip("/").split("/")
        trail = [self._inode(_ROOT_INODE)]
        links_left = _MAX_SYMLINKS
        while words:
            word = words.pop(0)
            if word in ("", "."):
                continue
            if word == "..":
                trail = trail[:-1] or trail
                continue
            found = self._look_up(trail[-1], word.encode())
            if found is None:
                return None
            inode = self._inode(found)
            if inode.type != _SYMLINK:
                trail.append(inode)
                continue
            links_left -= 1
            target = self._link_target(inode)
            words = target.split("/") + words
            if not links_left or len(words) > _MAX_WORDS:
                return None
            trail = trail[:1] if target.startswith("/") else trail
        return trail[-1]

    def _look_up(self, directory: _Inode, name: bytes) -> int | None:
        if directory.type != _DIRECTORY:
            return None
        for block in self._data_blocks(directory):
            data = self._block(block)
            position = 0
            while position + 8 <= len(data):
                inode, length, name_size = struct.unpack_from("<IHB", data, position)
                if inode and data[position + 8 : position + 8 + name_size] == name:
                    return int(inode)
                if length < 8:
                    break
                position += length
        return None

    def _link_target(self, inode: _Inode) -> str:
        if inode.size < len(inode.blocks) and not inode.flags & _FLAG_EXTENTS:
            return inode.blocks[: inode.size].decode(errors="replace")
        block = next(self._data_blocks(inode), None)
        if block is None or inode.size > self._block_size:
            raise _Unreadable
        return self._block(block)[: inode.size].decode(errors="replace")

    def _inode(self, number: int) -> _Inode:
        if not 0 < number <= self._inode_count:
            raise _Unreadable
        group, index = divmod(number - 1, self._inodes_per_group)
        table = (self._first_block + 1) * self._block_size
        descriptor = self._read(table + group * self._descriptor_size, self._descriptor_size)
        first = struct.unpack_from("<I", descriptor, 8)[0]
        if self._descriptor_size >= 64:
            first |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
        return _Inode(
            self._read(first * self._block_size + index * self._inode_size, self._inode_size)
        )

    def _block(self, number: int) -> bytes:
        # A hostile tree of extents may have billions of empty leaves.
        self._blocks_left -= 1
        if self._blocks_left < 0:
            raise _Unreadable
        return self._read(number * self._block_size, self._block_size)

    def _data_blocks(self, inode: _Inode) -> Iterator[int]:
        """Numbers of the blocks that hold the inode's first MAX_DIRECTORY_SIZE bytes."""
        left = -(-min(inode.size, MAX_DIRECTORY_SIZE) // self._block_size)
        if inode.flags & _FLAG_EXTENTS:
            numbers = self._extent_blocks(inode.blocks)
        else:
            numbers = self._mapped_blocks(inode.blocks)
        for number, _ in zip(numbers, range(left), strict=False):
            yield number

    def _extent_blocks(self, node: bytes) -> Iterator[int]:
        for extent in self._extents(node, _MAX_DEPTH):
            yield from range(extent.first, extent.first + min(extent.length, _MAX_WRITTEN))

    def _extents(self, node: bytes, depth_left: int) -> Iterator[_Extent]:
        magic, count, _, depth = struct.unpack_from("<HHHH", node)
        if magic != _EXTENT_MAGIC or depth > depth_left or count > len(node) // 12 - 1:
            raise _Unreadable
        for position in range(12, 12 + 12 * count, 12):
            if depth:
                low, high = struct.unpack_from("<IH", node, position + 4)
                yield from self._extents(self._block(low | high << 32), depth - 1)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, position)
                yield _Extent(logical, length, low | high << 32)

    def _mapped_blocks(self, blocks: bytes) -> Iterator[int]:
        """ext2's and ext3's map: direct blocks, then one block of further numbers."""
        direct = struct.unpack_from(f"<{_DIRECT_BLOCKS + 1}I", blocks)
        yield from filter(None, direct[:_DIRECT_BLOCKS])
        if direct[_DIRECT_BLOCKS]:
            more = self._block(direct[_DIRECT_BLOCKS])
            yield from filter(None, struct.unpack(f"<{len(more) // 4}I", more))
