"""Fields of inodes of an ext2, ext3 or ext4 file system, set without mounting it.

For file systems that this program has just made: nothing in them is hostile, or in use.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from bundler.codec.ext import Read
from bundler.errors import InputError

_SUPERBLOCK_OFFSET, _SUPERBLOCK_SIZE = 1024, 1024
_MAGIC = 0xEF53
_INCOMPAT_META_BG, _INCOMPAT_64BIT, _INCOMPAT_CHECKSUM_SEED = 0x10, 0x80, 0x2000
_RO_COMPAT_METADATA_CHECKSUM = 0x400
_GROUP_HAS_NO_INODES = 0x1
_FLAG_IS_XATTR = 0x200000  # its times are a hash and a reference count
_ATIME, _CTIME, _MTIME = (8, 0x8C), (12, 0x84), (16, 0x88)
_CHECKSUM_LOW, _CHECKSUM_HIGH = 0x7C, 0x82
_SMALL_INODE_SIZE = 128
_ROOT_INODE = 2
_PERMISSIONS = 0o7777
_NS = 1_000_000_000
_POLYNOMIAL = 0x82F63B78
# Source: Documentation/filesystems/ext4/ of Linux: super, group_descr, inodes, checksums.


def timed_inodes(read: Read, epoch: int) -> Iterator[tuple[int, bytes]]:
    """Tables of inodes whose times are set, and their offsets, for the caller to write.

    The times of access and of the inode's change are `epoch`, in seconds since 1970; so is that
    of the file's change if it is later.  When inodes were made is left alone.

    Raises:
        InputError: there is no ext file system, or its groups lie where they are not looked for.
    """
    system = _System.parse(read(_SUPERBLOCK_OFFSET, _SUPERBLOCK_SIZE))
    for group in range(system.group_count):
        offset, count = system.inode_table(read, group)
        table = bytearray(read(offset, count * system.inode_size))
        for index in range(count):
            start = index * system.inode_size
            inode = table[start : start + system.inode_size]
            if _set_times(inode, epoch):
                system.finish(inode, group * system.inodes_per_group + index + 1)
                table[start : start + system.inode_size] = inode
        if table:
            yield offset, bytes(table)


def root_inode(
    read: Read, *, permissions: int, owner: tuple[int, int], time_ns: int
) -> tuple[int, bytes]:
    """The inode of the root directory with other permissions, owner, group and time of change.

    Returns its offset, too, for the caller to write.

    Raises:
        InputError: see timed_inodes().
    """
    system = _System.parse(read(_SUPERBLOCK_OFFSET, _SUPERBLOCK_SIZE))
    offset = system.inode_table(read, 0)[0] + (_ROOT_INODE - 1) * system.inode_size
    inode = bytearray(read(offset, system.inode_size))
    kind = struct.unpack_from("<H", inode)[0] & ~_PERMISSIONS
    struct.pack_into("<H", inode, 0, kind | permissions)
    for number, low, high in ((owner[0], 2, 0x78), (owner[1], 24, 0x7A)):
        struct.pack_into("<H", inode, low, number & 0xFFFF)
        struct.pack_into("<H", inode, high, number >> 16)
    _set_time(inode, _MTIME, time_ns)
    system.finish(inode, _ROOT_INODE)
    return offset, bytes(inode)


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """What the superblock says; sizes in bytes."""

    block_size: int
    descriptors_offset: int
    descriptor_size: int
    group_count: int
    inodes_per_group: int
    inode_size: int
    has_checksums: bool
    seed: int
    """Of the inodes' checksums."""

    @classmethod
    def parse(cls, superblock: bytes) -> "_System":
        number = struct.Struct("<I").unpack_from
        if len(superblock) < _SUPERBLOCK_SIZE or superblock[56:58] != _MAGIC.to_bytes(2, "little"):
            raise InputError("set times: expected an ext file system, got none")
        incompatible = number(superblock, 96)[0]
        if incompatible & _INCOMPAT_META_BG:
            raise InputError("set times: expected an ext file system without meta_bg, got one with")
        block_size = 1024 << number(superblock, 24)[0]
        seed = crc32c(~0, superblock[104:120])  # the UUID
        if incompatible & _INCOMPAT_CHECKSUM_SEED:
            seed = number(superblock, 0x270)[0]
        has_size, is_wide = number(superblock, 76)[0] > 0, incompatible & _INCOMPAT_64BIT
        return cls(
            block_size=block_size,
            descriptors_offset=(number(superblock, 20)[0] + 1) * block_size,
            descriptor_size=struct.unpack_from("<H", superblock, 254)[0] if is_wide else 32,
            group_count=number(superblock, 0)[0] // number(superblock, 40)[0],
            inodes_per_group=number(superblock, 40)[0],
            inode_size=struct.unpack_from("<H", superblock, 88)[0] if has_size else 128,
            has_checksums=bool(number(superblock, 100)[0] & _RO_COMPAT_METADATA_CHECKSUM),
            seed=seed,
        )

    def finish(self, inode: bytearray, number: int) -> None:
        """Give a changed inode its checksum."""
        if self.has_checksums:
            _set_checksum(inode, number, self.seed)

    def inode_table(self, read: Read, group: int) -> tuple[int, int]:
        """Where a group's inodes begin, and how many may be in use."""
        where = self.descriptors_offset + group * self.descriptor_size
        descriptor = read(where, self.descriptor_size)
        block = struct.unpack_from("<I", descriptor, 0x8)[0]
        flags, unused = struct.unpack_from("<H8xH", descriptor, 0x12)
        if self.descriptor_size >= 64:
            block |= struct.unpack_from("<I", descriptor, 0x28)[0] << 32
            unused |= struct.unpack_from("<H", descriptor, 0x32)[0] << 16
        count = 0 if flags & _GROUP_HAS_NO_INODES else self.inodes_per_group - unused
        return block * self.block_size, count


def _set_times(inode: bytearray, epoch: int) -> bool:
    """Set the times; whether the inode is in use and has times."""
    mode, flags = struct.unpack_from("<H", inode)[0], struct.unpack_from("<I", inode, 32)[0]
    if not mode or flags & _FLAG_IS_XATTR:
        return False
    low, high = _MTIME
    seconds = struct.unpack_from("<i", inode, low)[0]
    if high + 4 <= _end(inode):
        seconds += (inode[high] & 3) << 32
    for where in (_ATIME, _CTIME, *((_MTIME,) if seconds > epoch else ())):
        _set_time(inode, where, epoch * _NS)
    return True


def _set_time(inode: bytearray, where: tuple[int, int], time_ns: int) -> None:
    seconds, nanoseconds = divmod(time_ns, _NS)
    low, high = where
    struct.pack_into("<I", inode, low, seconds & 0xFFFFFFFF)
    if high + 4 <= _end(inode):
        # Two bits tell how often the signed seconds have overflowed.
        overflows = (seconds + 0x80000000) >> 32 & 3
        struct.pack_into("<I", inode, high, nanoseconds << 2 | overflows)


def _end(inode: bytearray) -> int:
    """Where an inode's fields end."""
    if len(inode) == _SMALL_INODE_SIZE:
        return _SMALL_INODE_SIZE
    return _SMALL_INODE_SIZE + int(struct.unpack_from("<H", inode, _SMALL_INODE_SIZE)[0])


def _set_checksum(inode: bytearray, number: int, seed: int) -> None:
    has_high = _end(inode) >= _CHECKSUM_HIGH + 2
    struct.pack_into("<H", inode, _CHECKSUM_LOW, 0)
    if has_high:
        struct.pack_into("<H", inode, _CHECKSUM_HIGH, 0)
    generation = bytes(inode[100:104])
    checksum = crc32c(seed, number.to_bytes(4, "little") + generation + inode)
    struct.pack_into("<H", inode, _CHECKSUM_LOW, checksum & 0xFFFF)
    if has_high:
        struct.pack_into("<H", inode, _CHECKSUM_HIGH, checksum >> 16)


def crc32c(checksum: int, data: bytes | bytearray) -> int:
    """CRC-32C going on from `checksum`, without the inversion that others put at its end."""
    checksum &= 0xFFFFFFFF
    for byte in data:
        checksum = _TABLE[(checksum ^ byte) & 0xFF] ^ (checksum >> 8)
    return checksum


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(map(_table_entry, range(256)))
