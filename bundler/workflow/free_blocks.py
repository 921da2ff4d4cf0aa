"""Which blocks of an image's file systems are free, by the file systems' own programs.

A list that is wrong would lose data: whatever is not certain is refused.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from bundler.codec.disk import file_system_offsets, partition_table
from bundler.codec.free_list import (
    XFS_FIELDS,
    BlockSpan,
    ExtList,
    XfsList,
    is_ext,
    unlike,
    xfs_span,
)
from bundler.errors import HostError, InputError
from bundler.host.file_system_tools import (
    check_ext,
    check_unused,
    check_xfs,
    check_xfs_log,
    list_ext_blocks,
    list_xfs_blocks,
)
from bundler.host.image_file import ImageSource
from bundler.host.loop_device import read_only_loop
from bundler.model.free_space import FreeSpace

_START_SIZE = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeBlocks:
    """What is free in an image; offsets in bytes."""

    space: FreeSpace
    offsets: tuple[int, ...]
    """Where the file systems begin whose free blocks these are."""
    unknown_offsets: tuple[int, ...]
    """Where partitions begin, or the image, in which no such file system was found."""


def find_free_blocks(source: ImageSource, *, is_checked: bool) -> FreeBlocks:
    """Look at all ext2, ext3, ext4 and xfs in an image: alone in it, or in its partitions.

    With `is_checked` the file systems are also checked, as those programs check them that mend
    them: that reads all inodes.

    Raises:
        MissingError: a program is not installed.
        InputError: a file system is in use, was not unmounted, is damaged or not understood.
        HostError: the image cannot be read; or an xfs in a partition, and not root.
    """
    check_unused(source.descriptor, _subject(source))
    is_disk = bool(partition_table(source.read_at))
    candidates = sorted(set(file_system_offsets(source.read_at))) if is_disk else [0]
    space, offsets, unknown = FreeSpace(), list[int](), list[int]()
    for offset in candidates:
        start = source.read_at(offset, _START_SIZE)
        subject = _subject(source, offset)
        if is_ext(start):
            span = _add_ext(source, offset, subject, space, is_checked=is_checked)
        elif claimed := xfs_span(start):
            span = _add_xfs(source, offset, claimed, subject, space, is_checked=is_checked)
        else:
            unknown.append(offset)
            continue
        offsets.append(offset)
        if offset == 0 and is_disk:
            raise InputError(f"{subject}: expected none in front of the partitions of a disk")
        # What an image was before it was partitioned may still be seen at its start.
        if any(offset < other < offset + span.size for other in candidates):
            raise InputError(f"{subject}: expected a file system, got one that others lie in")
    if offsets and unknown[:1] == [0]:  # a disk's start is no partition
        del unknown[0]
    return FreeBlocks(space=space, offsets=tuple(offsets), unknown_offsets=tuple(unknown))


def describe_places(free: FreeBlocks) -> str:
    """Where the free blocks are, for people."""
    places = ", ".join(str(offset) for offset in free.offsets)
    kind = "file system" if len(free.offsets) == 1 else "file systems"
    return f"in free blocks of the {kind} at byte {places}"


def _subject(source: ImageSource, offset: int | None = None) -> str:
    words = f"discard free blocks of {source.label}"
    return words if offset is None else f"{words}: file system at byte {offset}"


def _add_ext(
    source: ImageSource, offset: int, subject: str, space: FreeSpace, *, is_checked: bool
) -> BlockSpan:
    with _readable(subject), closing(list_ext_blocks(source.descriptor, offset)) as lines:
        found = ExtList(lines, subject)
        _add(source, offset, found, subject, space)
    if is_checked:
        check_ext(source.descriptor, offset, subject)
    return found.span


def _add_xfs(
    source: ImageSource,
    offset: int,
    claimed: BlockSpan,
    subject: str,
    space: FreeSpace,
    *,
    is_checked: bool,
) -> BlockSpan:
    _check_fits(source, offset, claimed, subject)
    with _xfs_descriptor(source, offset, claimed.size, subject) as descriptor:
        check_xfs_log(descriptor, subject)
        with _readable(subject), closing(list_xfs_blocks(descriptor, XFS_FIELDS)) as lines:
            found = XfsList(lines, subject)
            if found.span != claimed:
                raise unlike(subject, "the superblock's size", str(found.span).encode())
            _add(source, offset, found, subject, space)
        if is_checked:
            check_xfs(descriptor, subject)
    return found.span


@contextmanager
def _xfs_descriptor(source: ImageSource, offset: int, size: int, subject: str) -> Iterator[int]:
    """The xfs as a file that begins with it: xfsprogs know no offset."""
    if offset == 0:
        yield source.descriptor
        return
    try:
        with read_only_loop(source.descriptor, offset, size) as descriptor:
            yield descriptor
    except HostError as error:
        raise HostError(f"{subject}: {error}") from error


@contextmanager
def _readable(subject: str) -> Iterator[None]:
    """A program that fails has found that the file system is none, or damaged."""
    try:
        yield
    except HostError as error:
        raise InputError(f"{subject}: {error}") from error


def _add(
    source: ImageSource, offset: int, found: ExtList | XfsList, subject: str, space: FreeSpace
) -> None:
    _check_fits(source, offset, found.span, subject)
    size = found.span.block_size
    for start, end in found.runs():
        if end > found.span.block_count:
            raise unlike(subject, "blocks of the file system", f"{start}-{end}".encode())
        space.add(offset + start * size, offset + end * size)


def _check_fits(source: ImageSource, offset: int, span: BlockSpan, subject: str) -> None:
    if not 0 < span.size <= source.size - offset:
        raise InputError(
            f"{subject}: expected at most {source.size - offset} bytes, got a file system of "
            f"{span.size}; the image is cut short"
        )
