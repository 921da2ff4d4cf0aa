"""Where file systems may begin in the image of a disk: MBR and GPT partition tables."""

import struct
from collections.abc import Callable, Iterator

SECTOR_SIZE = 512
"""Bytes of a sector."""

_MAX_GPT_ENTRIES = 128
_LINUX, _PROTECTIVE = 0x83, 0xEE


def file_system_offsets(read: Callable[[int, int], bytes]) -> Iterator[int]:
    """Offsets in bytes: 0 (no partitions), then each partition's start.

    `read(offset, size)` gives bytes of the image, fewer at its end.
    """
    yield 0
    boot = read(0, SECTOR_SIZE)
    if len(boot) < SECTOR_SIZE or boot[510:512] != b"\x55\xaa":
        return
    for position in range(446, 510, 16):
        kind = boot[position + 4]
        if kind == _PROTECTIVE:
            yield from _gpt_offsets(read)
        elif kind == _LINUX:
            yield int(struct.unpack_from("<I", boot, position + 8)[0]) * SECTOR_SIZE


def _gpt_offsets(read: Callable[[int, int], bytes]) -> Iterator[int]:
    header = read(SECTOR_SIZE, SECTOR_SIZE)
    if len(header) < SECTOR_SIZE or not header.startswith(b"EFI PART"):
        return
    table, count, size = struct.unpack_from("<QII", header, 72)
    if not 128 <= size <= 4096:
        return
    for index in range(min(count, _MAX_GPT_ENTRIES)):
        entry = read(table * SECTOR_SIZE + index * size, size)
        if len(entry) == size and any(entry[:16]):
            yield int(struct.unpack_from("<Q", entry, 32)[0]) * SECTOR_SIZE
