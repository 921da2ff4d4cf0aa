"""Lists of free blocks as dumpe2fs and xfs_db print them: told exactly, or refused.

A list that is wrong would lose data.  So nothing is passed over: every number is checked
against the file system's size and against the sums that the same output has.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.errors import InputError

MAX_NUMBER_DIGITS = 20
"""Most digits of a number that is read: 64 bits have no more."""

EXT_SUPERBLOCK_OFFSET = 1024
"""Bytes in front of the superblock of ext2, ext3 and ext4."""

XFS_FIELDS = (
    "magicnum", "blocksize", "dblocks", "agblocks", "agcount", "logstart", "inprogress", "rblocks",
)  # fmt: skip
"""Fields of the superblock that parse_xfs_list() wants to be printed first, as xfs_db has them."""

_EXT_MAGIC, _EXT_MAGIC_OFFSET = b"\x53\xef", EXT_SUPERBLOCK_OFFSET + 56
_EXT_FIELDS = frozenset(
    (
        b"Filesystem features",
        b"Filesystem state",
        b"Block count",
        b"Free blocks",
        b"First block",
        b"Block size",
    )
)
_EXT_REFUSED = {
    b"needs_recovery": "it was not unmounted: mount and unmount it, or run e2fsck",
    b"journal_dev": "it is a journal of another file system",
    b"bigalloc": "clusters of blocks (bigalloc) are not supported",
}
_GROUP = re.compile(rb"Group (\d{1,20}): \(Blocks (\d{1,20})-(\d{1,20})\).*")
_GROUP_FREE = re.compile(rb"  (\d{1,20}) free blocks, .*")
_RANGE = re.compile(rb"(\d{1,20})(?:-(\d{1,20}))?")
_XFS_FIELD = re.compile(rb"([a-z]+) = (0x[0-9a-f]{1,16}|\d{1,20})")
_XFS_HEADER, _XFS_HISTOGRAM = [b"agno", b"agbno", b"len"], b"from"
# Source: dumpe2fs.c of e2fsprogs 1.47; db/freesp.c of xfsprogs 6.1; ext4(5).


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSpan:
    """A file system by its own words; block numbers are its own too."""

    block_size: int
    block_count: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.block_size * self.block_count


def is_ext(start: bytes) -> bool:
    """Whether a file system that begins with these 2 KiB is ext2, ext3 or ext4."""
    return start[_EXT_MAGIC_OFFSET : _EXT_MAGIC_OFFSET + 2] == _EXT_MAGIC


def xfs_span(start: bytes) -> BlockSpan | None:
    """The xfs that begins with these bytes; None: it is none."""
    if len(start) < 16 or not start.startswith(b"XFSB"):
        return None
    block_size, count = int.from_bytes(start[4:8], "big"), int.from_bytes(start[8:16], "big")
    is_sound = block_size in [1 << power for power in range(9, 17)]
    return BlockSpan(block_size=block_size, block_count=count) if is_sound and count else None


class ExtList:
    """What dumpe2fs prints of a file system; `subject` names it in messages.

    Raises:
        InputError: it is in use or damaged, or not what dumpe2fs prints.
    """

    def __init__(self, lines: Iterable[bytes], subject: str) -> None:
        self._lines = iter(lines)
        self._subject = subject
        self._group_line = b""
        found = self._header()
        self._check_state(found)
        self.span = BlockSpan(
            block_size=_number(found, b"Block size", subject),
            block_count=_number(found, b"Block count", subject),
        )
        self._first = _number(found, b"First block", subject)
        self._free_count = _number(found, b"Free blocks", subject)

    def runs(self) -> Iterator[tuple[int, int]]:
        """First block, and the one behind the last, of each run of free blocks; in order.

        Raises:
            InputError: the numbers contradict one another.
        """
        following, free_count, index = self._first, 0, 0
        line: bytes | None = self._group_line
        while line is not None:
            match = _GROUP.fullmatch(line)
            if match is None:
                raise unlike(self._subject, "a group of blocks", line)
            number, first, last = map(int, match.groups())
            if (number, first) != (index, following) or last < first:
                raise unlike(self._subject, f"group {index} from block {following}", line)
            following, index = last + 1, index + 1
            line, runs, count = self._group(first, following)
            for start, end in runs:
                free_count += end - start
                yield start, end
            if sum(end - start for start, end in runs) != count:
                raise _sums_differ(self._subject, f"group {number}")
        if following != self.span.block_count or free_count != self._free_count:
            raise _sums_differ(self._subject, "the superblock")

    def _header(self) -> dict[bytes, bytes]:
        """The fields in front of the first group, each there once: labels hold anything."""
        found: dict[bytes, bytes] = {}
        for line in self._lines:
            if line.startswith(b"Group 0:"):
                self._group_line = line
                return found
            name, _, value = line.partition(b":")
            if name in found:
                raise unlike(self._subject, "each field once", line)
            if name in _EXT_FIELDS:
                found[name] = value.strip()
        raise unlike(self._subject, "groups of blocks", b"none")

    def _check_state(self, found: dict[bytes, bytes]) -> None:
        features = found.get(b"Filesystem features", b"").split()
        for feature, reason in _EXT_REFUSED.items():
            if feature in features:
                raise InputError(f"{self._subject}: {reason}")
        state = found.get(b"Filesystem state", b"")
        if state != b"clean":
            raise InputError(
                f"{self._subject}: expected the state clean, got {state.decode('ascii', 'replace')}"
                "; run e2fsck"
            )

    def _group(
        self, first: int, behind: int
    ) -> tuple[bytes | None, list[tuple[int, int]], int | None]:
        """The next group's line, this one's runs and how many blocks it says are free."""
        runs: list[tuple[int, int]] | None = None
        count: int | None = None
        line: bytes | None
        for line in self._lines:
            if line.startswith(b"Group "):
                break
            if line.startswith(b"  Free blocks:"):
                if runs is not None:
                    raise unlike(self._subject, "one list for each group", line)
                runs = self._ranges(line.partition(b":")[2].strip(), first, behind)
            elif match := _GROUP_FREE.fullmatch(line):
                count = int(match[1])
        else:
            line = None
        return line, runs or [], count

    def _ranges(self, words: bytes, first: int, behind: int) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        for word in words.split(b", ") if words else ():
            match = _RANGE.fullmatch(word)
            if match is None:
                raise unlike(self._subject, "a range of blocks", word)
            start = int(match[1])
            end = int(match[2] or match[1]) + 1
            if not first <= start < end <= behind:
                raise unlike(self._subject, f"blocks from {first} to {behind - 1}", word)
            first = end
            runs.append((start, end))
        return runs


class XfsList:
    """What xfs_db prints of XFS_FIELDS and for freesp -d; `subject` names it in messages.

    Raises:
        InputError: it is not one whose free blocks are all in it, or not what xfs_db prints.
    """

    def __init__(self, lines: Iterable[bytes], subject: str) -> None:
        self._lines = iter(lines)
        self._subject = subject
        found: dict[bytes, bytes] = {}
        for line in self._lines:
            if line.split() == _XFS_HEADER:
                break
            match = _XFS_FIELD.fullmatch(line)
            if match is None or match[1] in found:
                raise unlike(subject, "a field of the superblock", line)
            found[match[1]] = match[2]
        else:
            raise unlike(subject, "a list of free blocks", b"none")
        if _number(found, b"inprogress", subject):
            raise InputError(f"{subject}: it is not made yet")
        if not _number(found, b"logstart", subject) or _number(found, b"rblocks", subject):
            raise InputError(f"{subject}: parts of it are on other devices")
        self.span = BlockSpan(
            block_size=_number(found, b"blocksize", subject),
            block_count=_number(found, b"dblocks", subject),
        )
        self._group_size = _number(found, b"agblocks", subject)
        self._group_count = _number(found, b"agcount", subject)

    def runs(self) -> Iterator[tuple[int, int]]:
        """First block, and the one behind the last, of each run of free blocks; in order.

        Raises:
            InputError: the numbers contradict one another.
        """
        group, found, free_count = 0, list[tuple[int, int]](), 0
        for line in self._lines:
            words = line.split()
            if words[:1] == [_XFS_HISTOGRAM]:
                break
            number, start, size = _numbers(words, 3, self._subject, line)
            behind = min((number + 1) * self._group_size, self.span.block_count)
            start += number * self._group_size
            if not group <= number < self._group_count or not 0 < size <= behind - start:
                raise unlike(self._subject, "free blocks of an allocation group", line)
            if number != group:
                yield from sorted(found)
                group, found = number, []
            # What lies in reserve for the group's own lists comes in front, in any order.
            found.append((start, start + size))
            free_count += size
        yield from sorted(found)
        for line in self._lines:
            columns = line.split()
            free_count -= _numbers(columns[:4], 4, self._subject, line)[3]
        if free_count:
            raise _sums_differ(self._subject, "the histogram")


def _numbers(words: list[bytes], count: int, subject: str, line: bytes) -> list[int]:
    if len(words) != count or not all(
        word.isdigit() and len(word) <= MAX_NUMBER_DIGITS for word in words
    ):
        raise unlike(subject, f"{count} numbers", line)
    return [int(word) for word in words]


def _number(found: dict[bytes, bytes], name: bytes, subject: str) -> int:
    value = found.get(name, b"")
    if not re.fullmatch(rb"\d{1,20}|0x[0-9a-f]{1,16}", value):
        raise unlike(subject, f"the field {name.decode()}", value)
    return int(value, 0) if value.startswith(b"0x") else int(value)


def unlike(subject: str, expected: str, got: bytes) -> InputError:
    """The error that what a program printed is not understood."""
    return InputError(
        f"{subject}: expected {expected}, got {got[:80].decode('ascii', 'replace')!r}"
    )


def _sums_differ(subject: str, of: str) -> InputError:
    return InputError(
        f"{subject}: the list of free blocks and what {of} says of them differ; check it first "
        "(e2fsck -f, xfs_repair)"
    )
