"""Partition tables, boot code, and what is no raw image at all."""

import struct

import pytest

from bundler.codec.disk import SECTOR_SIZE, has_boot_code, partition_table
from bundler.codec.image_format import image_format

CODE = b"\xeb\x63\x90"
LINUX, PROTECTIVE = 0x83, 0xEE


def entry(kind: int, *, flag: int = 0, size: int = 100) -> bytes:
    return struct.pack("<B3xB3xII", flag, kind, 2048, size)


def sector(*entries: bytes, code: bytes = b"", mark: bytes = b"\x55\xaa") -> bytes:
    return code.ljust(446, b"\0") + b"".join(entries).ljust(64, b"\0") + mark


GPT = sector(entry(PROTECTIVE)) + b"EFI PART".ljust(SECTOR_SIZE, b"\0")

TABLES = {
    "MBR": (sector(entry(LINUX, flag=0x80)), "MBR"),
    "MBR, its second entry": (sector(entry(0, size=0), entry(LINUX)), "MBR"),
    "GPT": (GPT, "GPT"),
    "protective MBR without GPT": (sector(entry(PROTECTIVE)), "MBR"),
    "no entries": (sector(), ""),
    "an entry of no sectors": (sector(entry(LINUX, size=0)), ""),
    "a file system's boot sector": (sector(entry(LINUX, flag=0x65)), ""),
    "no mark": (sector(entry(LINUX), mark=b"\0\0"), ""),
    "zeros": (bytes(2 * SECTOR_SIZE), ""),
    "less than a sector": (sector(entry(LINUX))[:-1], ""),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize(("image", "table"), TABLES.values(), ids=TABLES)
def test_partition_tables(image: bytes, table: str) -> None:
    assert partition_table(lambda offset, size: image[offset : offset + size]) == table


@pytest.mark.parametrize(
    ("image", "expected"),
    [(sector(code=CODE), True), (sector(entry(LINUX)), False), (GPT, False), (b"", False)],
)
def test_boot_code(image: bytes, *, expected: bool) -> None:
    assert has_boot_code(lambda offset, size: image[offset : offset + size]) == expected


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"QFI\xfb\0\0\0\x03", "qcow2"),
        (b"KDMV\x01\0\0\0", "VMDK"),
        (b"conectix", "VHD"),
        (b"vhdxfile", "VHDX"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PK\x03\x04", "zip"),
        (bytes(257) + b"ustar\0", "tar"),
        (sector(entry(LINUX), code=CODE), ""),
        (b"QFI", ""),
        (b"", ""),
    ],
)
def test_formats_that_are_no_raw_image(start: bytes, name: str) -> None:
    assert image_format(start) == name
