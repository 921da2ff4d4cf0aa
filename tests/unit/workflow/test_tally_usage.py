"""What files need of a file system, beside their data."""

import os
import stat

from bundler.workflow.tally_usage import UsageTally

BLOCK = 4096


def state(mode: int, size: int, block_count: int) -> os.stat_result:
    """What lstat() tells of a file with so many blocks of 512 bytes."""
    fields = {"st_blocks": block_count}
    return os.stat_result((mode, 1, 1, 1, 0, 0, size, 0, 0, 0), fields)


def size_of(one: os.stat_result, name_size: int = 1) -> int:
    """What is counted of a file, but for its name."""
    tally = UsageTally(("/",))
    tally.add("/", one, name_size)
    return tally.usage()["/"].size - 2 * (12 + name_size)


def test_names_need_room_in_directories_too() -> None:
    tally = UsageTally(("/",))
    for _ in range(1000):
        tally.add("/", state(stat.S_IFREG, 0, 0), 255)
    assert tally.usage()["/"].size >= 2 * 1000 * (255 + 8)


def test_blocks_of_xattrs_are_counted_and_what_is_allocated_ahead_is_not() -> None:
    assert size_of(state(stat.S_IFREG, 0, 8)) == BLOCK
    assert size_of(state(stat.S_IFREG, 5, 16)) == 2 * BLOCK
    assert size_of(state(stat.S_IFREG, 5, 8)) == BLOCK
    assert size_of(state(stat.S_IFLNK, 200, 8)) == BLOCK
    assert size_of(state(stat.S_IFIFO, 0, 8)) == BLOCK
    assert size_of(state(stat.S_IFREG, 5, 1 << 20)) == 17 * BLOCK
    assert size_of(state(stat.S_IFREG, 1 << 30, 8)) == BLOCK  # a hole
