"""--discard-free: what is in free blocks of an image does not travel."""

import argparse

from bundler.cli.console import Console
from bundler.errors import UsageError
from bundler.host.image_file import ImageSource
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.discarding_source import DiscardingSource
from bundler.workflow.free_blocks import describe_places, find_free_blocks
from bundler.workflow.local_checks import format_size


def add_discard_option(parser: argparse.ArgumentParser) -> None:
    """--discard-free."""
    parser.add_argument(
        "--discard-free",
        action="store_true",
        help="leave out what is in free blocks of ext2, ext3, ext4 and xfs, such as of files that "
        "were deleted; the image file is not changed",
    )


def discard_free(
    arguments: argparse.Namespace, source: BundleSource, console: Console
) -> BundleSource:
    """The image as it is to be bundled: without its free blocks, if the option is given.

    Raises:
        UsageError: it is no image file and no device.
        MissingError, InputError, HostError: what is free cannot be told for certain.
    """
    if not arguments.discard_free:
        return source
    if not isinstance(source, ImageSource):
        raise UsageError(
            f"--discard-free: expected an image file or a block device, got {source.label}: "
            "unbundle or copy it to a file first"
        )
    free = find_free_blocks(source, is_checked=True)
    for offset in free.unknown_offsets:
        console.warn(
            f"{source.label}: no ext2, ext3, ext4 or xfs file system at byte {offset}: "
            "what is there is left as it is"
        )
    if free.offsets:
        size = format_size(free.space.size)
        console.note(f"{source.label}: left out: {size} {describe_places(free)}")
    return DiscardingSource(source, free.space)
