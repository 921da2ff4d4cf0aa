"""Where file systems may begin in the image of a disk: MBR and GPT partition tables."""

import struct
from collections.abc import Callable, Iterator

SECTOR_SIZE = 512
"""Bytes of a sector."""

BOOT_CODE_SIZE = 440
"""Bytes at a disk's start where a boot loader for BIOS has its first code."""

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


def partition_table(read: Callable[[int, int], bytes]) -> str:
    """The kind of partition table, "GPT" or "MBR"; empty when there is none.

    The boot sector of a file system may end as one of a disk does, so the entries must make
    sense too.  `read` as in file_system_offsets().
    """
    boot = read(0, SECTOR_SIZE)
    if len(boot) < SECTOR_SIZE or boot[510:512] != b"\x55\xaa":
        return ""
    entries = [boot[position : position + 16] for position in range(446, 510, 16)]
    kinds = {entry[4] for entry in entries}
    if _PROTECTIVE in kinds and read(SECTOR_SIZE, SECTOR_SIZE).startswith(b"EFI PART"):
        return "GPT"
    is_sound = all(entry[0] in (0, 0x80) for entry in entries)
    has_some = any(entry[4] and any(entry[12:16]) for entry in entries)
    return "MBR" if is_sound and has_some else ""


def has_boot_code(read: Callable[[int, int], bytes]) -> bool:
    """Whether there is anything where BIOS looks for a boot loader's first code."""
    return any(read(0, BOOT_CODE_SIZE))


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
