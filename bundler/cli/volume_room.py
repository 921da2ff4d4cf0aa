"""Whether the disk has room for a volume's image, and for the bundle beside it."""

import argparse
from pathlib import Path

from bundler.cli.volume_image import PlannedImage, scratch_directory
from bundler.host.files import check_room, os_errors

REMEDY = (
    "name another --scratch-dir, leave out more with --exclude, give room back with --consume, "
    "send the bundle to s3:// instead, or --no-space-check if the files compress well"
)


def check_rooms(arguments: argparse.Namespace, planned: PlannedImage) -> None:
    """Make sure that the image fits, and a bundle of it that cannot be compressed at all.

    With --consume one takes the place of the other.

    Raises:
        HostError: they do not.
    """
    scratch = scratch_directory(arguments)
    destination: Path | None = arguments.destination
    image = planned.needed_size
    if destination is None or arguments.clone_only:
        check_room(scratch, image, remedy=REMEDY)
        return
    bundle = planned.bundle_size
    with os_errors("look for room in", destination):
        is_same = scratch.stat().st_dev == destination.stat().st_dev
    if not is_same:
        check_room(scratch, image, remedy=REMEDY)
        check_room(destination, bundle, remedy=REMEDY)
    elif arguments.consume:
        check_room(scratch, max(image, bundle), remedy=REMEDY)
    else:
        check_room(scratch, image + bundle, remedy=REMEDY)
