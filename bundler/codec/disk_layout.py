"""A file system to a partitioned disk: what stands in front of it and behind it.

The partition begins at 1 MiB, and with a GPT there is a partition for GRUB's code in front of
it; a boot loader is not put there.
"""

import struct
import zlib
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from bundler.codec.disk import SECTOR_SIZE
from bundler.errors import InputError
from bundler.model.bundle import MIB
from bundler.model.partition_table import PartitionScheme
from bundler.model.snapshot import GIB, volume_size

FIRST_OFFSET = MIB
"""Bytes in front of the file system, as all partitioning programs leave today."""

_MBR_SECTORS = 2**32 - 1
_GPT_ENTRY_COUNT = 128
_GPT_ENTRY_SIZE = 128
_TABLE_SECTORS = _GPT_ENTRY_COUNT * _GPT_ENTRY_SIZE // SECTOR_SIZE
_LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
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


def lay_out_disk(size: int, scheme: PartitionScheme, seed: bytes) -> DiskLayout:
    """The disk for a file system of `size` bytes; its ids are made from `seed`.

    Raises:
        InputError: it is larger than such a table, or an EBS volume, can have.
    """
    sectors = -(-size // SECTOR_SIZE)
    if scheme is PartitionScheme.MBR:
        if sectors > _MBR_SECTORS:
            raise InputError("partition: an MBR is for less than 2 TiB; a GPT has no such limit")
        disk_size = volume_size(FIRST_OFFSET + size) * GIB
        return DiskLayout(size=disk_size, head=_mbr(sectors, seed), tail=b"")
    disk_size = volume_size(FIRST_OFFSET + size + SECTOR_SIZE * (_TABLE_SECTORS + 1)) * GIB
    table = _gpt_table(sectors, seed)
    last = disk_size // SECTOR_SIZE - 1
    # The header, then the table; at the disk's end the other way round.
    main = _gpt_header(1, last, 2, table, seed)
    backup = _gpt_header(last, 1, last - _TABLE_SECTORS, table, seed)
    return DiskLayout(
        size=disk_size, head=_protective_mbr(last) + main + table, tail=table + backup
    )


def _mbr(sectors: int, seed: bytes) -> bytes:
    entry = _mbr_entry(0x80, 0x83, FIRST_OFFSET // SECTOR_SIZE, sectors)
    return bytes(440) + _id(seed, b"mbr")[:4] + bytes(2) + entry + bytes(48) + b"\x55\xaa"


def _protective_mbr(last: int) -> bytes:
    entry = _mbr_entry(0, 0xEE, 1, min(last, _MBR_SECTORS))
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _mbr_entry(flags: int, kind: int, first: int, sectors: int) -> bytes:
    # Cylinders, heads and sectors as for what lies beyond them: all read sector numbers.
    chs = b"\xfe\xff\xff"
    return struct.pack("<B3sB3sII", flags, chs, kind, chs, first, sectors)


def _gpt_table(sectors: int, seed: bytes) -> bytes:
    first = FIRST_OFFSET // SECTOR_SIZE
    entries = (
        _gpt_entry(_LINUX, _id(seed, b"linux"), first, first + sectors - 1, "root"),
        _gpt_entry(_BIOS_BOOT, _id(seed, b"boot"), 2 + _TABLE_SECTORS, first - 1, "BIOS boot"),
    )
    return b"".join(entries).ljust(_GPT_ENTRY_COUNT * _GPT_ENTRY_SIZE, b"\0")


def _gpt_entry(kind: UUID, own_id: bytes, first: int, last: int, name: str) -> bytes:
    words = name.encode("utf-16-le").ljust(72, b"\0")
    return struct.pack("<16s16sQQQ72s", kind.bytes_le, own_id, first, last, 0, words)


def _gpt_header(at: int, other: int, table_at: int, table: bytes, seed: bytes) -> bytes:
    last = max(at, other)
    fields = [b"EFI PART", 0x10000, 92, 0, 0, at, other, 2 + _TABLE_SECTORS]
    fields += [last - _TABLE_SECTORS - 1, _id(seed, b"disk"), table_at]
    fields += [_GPT_ENTRY_COUNT, _GPT_ENTRY_SIZE, zlib.crc32(table)]
    form = "<8sIIIIQQQQ16sQIII"
    fields[3] = zlib.crc32(struct.pack(form, *fields))
    return struct.pack(form, *fields).ljust(SECTOR_SIZE, b"\0")


def _id(seed: bytes, what: bytes) -> bytes:
    """A GUID, as it stands on the disk, that is always the same for a seed."""
    return UUID(bytes=sha256(seed + what).digest()[:16], version=4).bytes_le
