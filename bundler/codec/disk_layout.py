"""Partition tables as bytes: what stands in front of a disk's file systems and behind them."""

import struct
import zlib
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from bundler.codec.disk import SECTOR_SIZE
from bundler.errors import InputError
from bundler.model.bundle import MIB
from bundler.model.disk import Disk, Partition, PartitionRole
from bundler.model.partition_table import PartitionScheme
from bundler.model.snapshot import GIB, volume_size

FIRST_OFFSET = MIB
"""Bytes in front of the file system, as all partitioning programs leave today."""

_MBR_SECTORS = 2**32 - 1
_GPT_ENTRY_COUNT = 128
_GPT_ENTRY_SIZE = 128
_TABLE_SECTORS = _GPT_ENTRY_COUNT * _GPT_ENTRY_SIZE // SECTOR_SIZE
_LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_GPT_TYPES = {
    PartitionRole.BIOS_BOOT: UUID("21686148-6449-6e6f-744e-656564454649"),
    PartitionRole.ESP: UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
}
_GPT_NAMES = {
    PartitionRole.BIOS_BOOT: "BIOS boot",
    PartitionRole.ESP: "EFI system",
    PartitionRole.BOOT: "boot",
    PartitionRole.ROOT: "root",
}
_GPT_LEGACY_BOOT = 4
_MBR_LINUX, _MBR_ESP = 0x83, 0xEF
# Source: UEFI specification, GUID Partition Table; GRUB manual, BIOS installation.


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskLayout:
    """A disk around a file system: offsets and sizes in bytes, the file system at FIRST_OFFSET."""

    size: int
    """Whole GiB, as a volume's: the copy of a GPT must be at its very end."""
    head: bytes
    """At offset 0."""
    tail: bytes
    """At the disk's end; empty for an MBR."""

    @property
    def tail_offset(self) -> int:
        """Where the tail begins."""
        return self.size - len(self.tail)


def render_table(disk: Disk) -> tuple[tuple[int, bytes], ...]:
    """What makes a disk one with these partitions: (offset, bytes); nothing without a table.

    Raises:
        InputError: they are too many, or too large, for such a table.
    """
    if disk.scheme is None:
        return ()
    if disk.scheme is PartitionScheme.MBR:
        return ((0, _mbr(disk)),)
    table = _gpt_table(disk)
    last = disk.size // SECTOR_SIZE - 1
    # The header, then the table; at the disk's end the other way round.
    main = _gpt_header(1, last, 2, table, disk)
    backup = _gpt_header(last, 1, last - _TABLE_SECTORS, table, disk)
    tail = table + backup
    return (0, _protective_mbr(last) + main + table), (disk.size - len(tail), tail)


def gpt_tail_size() -> int:
    """Bytes at a disk's end that a GPT's copy needs."""
    return SECTOR_SIZE * (_TABLE_SECTORS + 1)


def lay_out_disk(size: int, scheme: PartitionScheme, seed: bytes) -> DiskLayout:
    """The disk for a file system of `size` bytes; its ids are made from `seed`.

    The partition begins at 1 MiB, and with a GPT there is a partition for GRUB's code in front
    of it; a boot loader is not put there.

    Raises:
        InputError: it is larger than such a table, or an EBS volume, can have.
    """
    size = -(-size // SECTOR_SIZE) * SECTOR_SIZE
    if scheme is PartitionScheme.MBR:
        root = _root(size, is_bootable=True)
        disk_size = volume_size(FIRST_OFFSET + size) * GIB
        number = int.from_bytes(_id(seed, b"mbr").bytes_le[:4], "little")
        disk = Disk(size=disk_size, scheme=scheme, id=f"{number:08x}", partitions=(root,))
        return DiskLayout(size=disk_size, head=_mbr(disk), tail=b"")
    first = SECTOR_SIZE * (2 + _TABLE_SECTORS)
    boot = Partition(
        number=2,
        role=PartitionRole.BIOS_BOOT,
        offset=first,
        size=FIRST_OFFSET - first,
        uuid=str(_id(seed, b"boot")),
    )
    disk = Disk(
        size=volume_size(FIRST_OFFSET + size + gpt_tail_size()) * GIB,
        scheme=scheme,
        id=str(_id(seed, b"disk")),
        partitions=(_root(size, uuid=str(_id(seed, b"linux"))), boot),
    )
    (_, head), (_, tail) = render_table(disk)
    return DiskLayout(size=disk.size, head=head, tail=tail)


def _root(size: int, *, uuid: str = "", is_bootable: bool = False) -> Partition:
    return Partition(
        number=1,
        role=PartitionRole.ROOT,
        offset=FIRST_OFFSET,
        size=size,
        uuid=uuid,
        is_bootable=is_bootable,
    )


def _mbr(disk: Disk) -> bytes:
    entries = bytearray(4 * 16)
    for one in disk.partitions:
        if not 1 <= one.number <= 4:
            raise InputError("partition: an MBR has at most four partitions; a GPT has more")
        if max(one.offset, one.size) > _MBR_SECTORS * SECTOR_SIZE:
            raise InputError("partition: an MBR is for less than 2 TiB; a GPT has no such limit")
        kind = _MBR_ESP if one.role is PartitionRole.ESP else _MBR_LINUX
        first, sectors = one.offset // SECTOR_SIZE, one.size // SECTOR_SIZE
        entry = _mbr_entry(0x80 if one.is_bootable else 0, kind, first, sectors)
        entries[(one.number - 1) * 16 : one.number * 16] = entry
    number = struct.pack("<I", int(disk.id, 16))
    return bytes(440) + number + bytes(2) + bytes(entries) + b"\x55\xaa"


def _protective_mbr(last: int) -> bytes:
    entry = _mbr_entry(0, 0xEE, 1, min(last, _MBR_SECTORS))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _mbr_entry(flags: int, kind: int, first: int, sectors: int) -> bytes:
    # Cylinders, heads and sectors as for what lies beyond them: all read sector numbers.
    chs = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", flags, chs, kind, chs, first, sectors)


def _gpt_table(disk: Disk) -> bytes:
    table = bytearray(_GPT_ENTRY_COUNT * _GPT_ENTRY_SIZE)
    for one in disk.partitions:
        if not 1 <= one.number <= _GPT_ENTRY_COUNT:
            raise InputError(f"partition: a GPT has at most {_GPT_ENTRY_COUNT} partitions")
        at = (one.number - 1) * _GPT_ENTRY_SIZE
        table[at : at + _GPT_ENTRY_SIZE] = _gpt_entry(one)
    return bytes(table)


def _gpt_entry(one: Partition) -> bytes:
    kind = _GPT_TYPES.get(one.role, _LINUX)
    first, last = one.offset // SECTOR_SIZE, one.end // SECTOR_SIZE - 1
    flags = _GPT_LEGACY_BOOT if one.is_bootable else 0
    words = _GPT_NAMES[one.role].encode("utf-16-le").ljust(72, b"\0")
    own_id = UUID(one.uuid).bytes_le
    return struct.pack("<16s16sQQQ72s", kind.bytes_le, own_id, first, last, flags, words)


def _gpt_header(at: int, other: int, table_at: int, table: bytes, disk: Disk) -> bytes:
    last = max(at, other)
    fields = [b"EFI PART", 0x10000, 92, 0, 0, at, other, 2 + _TABLE_SECTORS]
    fields += [last - _TABLE_SECTORS - 1, UUID(disk.id).bytes_le, table_at]
    fields += [_GPT_ENTRY_COUNT, _GPT_ENTRY_SIZE, zlib.crc32(table)]
    form = "<8sIIIIQQQQ16sQIII"
    fields[3] = zlib.crc32(struct.pack(form, *fields))
    return struct.pack(form, *fields).ljust(SECTOR_SIZE, b"\0")


def _id(seed: bytes, what: bytes) -> UUID:
    """A GUID that is always the same for a seed."""
    return UUID(bytes=sha256(seed + what).digest()[:16], version=4)
