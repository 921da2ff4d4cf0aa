"""Whether an image holds data in free blocks, such as of files that were deleted."""

from collections.abc import Iterator

from bundler.errors import BundlerError
from bundler.host.image_file import ImageSource
from bundler.model.bundle import MIB
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.doctor import Finding
from bundler.workflow.free_blocks import FreeBlocks, describe_places, find_free_blocks
from bundler.workflow.local_checks import format_size

MAX_LOOK_SIZE = 1024 * MIB
"""Most bytes of free blocks that are read; our choice: a second or two."""

_NAME = "free-blocks"


def check_free_blocks(source: BundleSource, *, is_discarded: bool) -> Iterator[Finding]:
    """Count what is no zero in free blocks; with `is_discarded` see whether it can be left out.

    Raises:
        MissingError, InputError, HostError: it cannot be left out.
    """
    if not isinstance(source, ImageSource):
        yield Finding.skip(_NAME, "free blocks are found in image files and devices only")
        return
    if is_discarded:
        free = find_free_blocks(source, is_checked=True)
        yield Finding.ok(_NAME, f"{format_size(free.space.size)} {describe_places(free)}: left out")
        return
    try:
        free = find_free_blocks(source, is_checked=False)
    except BundlerError as error:
        yield Finding.skip(_NAME, str(error))
        return
    if free.offsets:
        yield _judge(source, free)
    else:
        yield Finding.skip(_NAME, "no ext2, ext3, ext4 or xfs file system found")


def _judge(source: ImageSource, free: FreeBlocks) -> Finding:
    found, looked = _count_data(source, free)
    stored = sum(extent.size for extent in free.space.inside(source.extents(dig_holes=False)))
    remedy = "--discard-free leaves out what is there, such as of deleted files"
    least = "" if looked == stored else "at least "
    if found:
        words = f"{least}{found} bytes of data {describe_places(free)}"
        return Finding.warn(_NAME, words, remedy)
    if least:
        words = f"no data in the first {format_size(looked)} of {format_size(stored)} "
        return Finding.warn(_NAME, words + describe_places(free), remedy)
    return Finding.ok(_NAME, f"no data {describe_places(free)}")


def _count_data(source: ImageSource, free: FreeBlocks) -> tuple[int, int]:
    """Bytes that are no zeros, and bytes that were looked at."""
    found = looked = 0
    for extent in free.space.inside(source.extents(dig_holes=False)):
        for chunk in source.read((extent,)):
            found += len(chunk) - chunk.count(0)
            looked += len(chunk)
            if looked >= MAX_LOOK_SIZE:
                return found, looked
    return found, looked
