"""Partitioned disks around file systems, read as others read them."""

import struct
import zlib
from pathlib import Path

import pytest

from bundler.codec.disk import file_system_offsets, partition_table
from bundler.codec.disk_layout import FIRST_OFFSET, DiskLayout, lay_out_disk
from bundler.errors import InputError
from bundler.model.partition_table import PartitionScheme
from tests.support.tools import use_tool

GIB = 1024**3
SECTOR = 512
SIZES = [1, 4096, GIB - FIRST_OFFSET - 33 * SECTOR, GIB - FIRST_OFFSET, 10 * GIB]


def read_of(layout: DiskLayout, offset: int, size: int) -> bytes:
    head = layout.head.ljust(FIRST_OFFSET, b"\0")
    return head[offset : offset + size].ljust(size, b"\0")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", list(PartitionScheme))
def test_readers_find_the_file_system(scheme: PartitionScheme, size: int) -> None:
    layout = lay_out_disk(size, scheme, b"seed")

    def read(offset: int, size: int) -> bytes:
        return read_of(layout, offset, size)

    assert partition_table(read) == scheme.value.upper()
    assert list(file_system_offsets(read))[:2] == [0, FIRST_OFFSET]
    assert layout.size % GIB == 0
    assert FIRST_OFFSET + size <= layout.tail_offset
    assert layout.size - FIRST_OFFSET - size - len(layout.tail) < GIB
    assert layout == lay_out_disk(size, scheme, b"seed")
    assert layout.head != lay_out_disk(size, scheme, b"other").head


def test_both_copies_of_a_gpt_hold() -> None:
    layout = lay_out_disk(5 * GIB, PartitionScheme.GPT, b"seed")
    last = layout.size // SECTOR - 1
    main, backup = layout.head[SECTOR : 2 * SECTOR], layout.tail[-SECTOR:]
    assert layout.head[2 * SECTOR :] == layout.tail[:-SECTOR]
    for header, at, other, table_at in ((main, 1, last, 2), (backup, last, 1, last - 32)):
        words = struct.unpack_from("<8sIIIIQQQQ16sQIII", header)
        assert words[5:9] == (at, other, 34, last - 33)
        assert words[10] == table_at
        assert words[13] == zlib.crc32(layout.tail[:-SECTOR])
        assert words[3] == zlib.crc32(header[:16] + bytes(4) + header[20:92])


@pytest.mark.parametrize("scheme", list(PartitionScheme))
def test_blkid_knows_it(scheme: PartitionScheme, tmp_path: Path) -> None:
    layout = lay_out_disk(3 * GIB, scheme, b"seed")
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.write(layout.head)
        file.truncate(layout.size)
        file.seek(layout.tail_offset)
        file.write(layout.tail)
    # It believes a GPT only when the checksums hold.
    kind = use_tool("blkid", "-p", "-s", "PTTYPE", "-o", "value", path).decode().strip()
    assert kind == {"gpt": "gpt", "mbr": "dos"}[scheme]


def test_an_mbr_has_an_end() -> None:
    with pytest.raises(InputError, match="an MBR is for less than 2 TiB"):
        lay_out_disk(2 * 1024 * GIB, PartitionScheme.MBR, b"")
