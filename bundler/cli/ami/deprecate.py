"""ami-bundler ami deprecate."""

import argparse
from datetime import UTC, datetime, timedelta

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change
from bundler.cli.image_query import read_date
from bundler.errors import UsageError
from bundler.model.described_image import LONG_AGO, DescribedImage

MAX_YEARS = 10
"""Most years from now on.  Source: EnableImageDeprecation, `DeprecateAt`."""

MAX_PUBLIC_YEARS = 2
"""Most years from the creation of a public AMI on.  Source: as above."""

_YEAR = timedelta(days=365.25)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--at",
        default="",
        metavar="DATE",
        help="from when on, to the minute: 2027-01-31, or 2027-01-31T12:00, in UTC unless it has "
        "an offset",
    )
    group.add_argument(
        "--cancel", action="store_true", help="it is not deprecated, and will not be"
    )


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Deprecate an AMI."""
    moment = read_date("--at", arguments.at)
    if moment is not None:
        check_moment(moment, arguments.at, datetime.now(UTC))
    change = open_change(arguments)
    image_id = change.image.image_id
    if moment is None:
        call = change.call("DisableImageDeprecation")
        return change.run([call], f"cancel the deprecation of AMI {image_id}", console)
    check_public(change.image, moment, arguments.at)
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    call = change.call("EnableImageDeprecation", DeprecateAt=text)
    return change.run([call], f"deprecate AMI {image_id}", console, facts={"deprecate_at": text})


def check_moment(moment: datetime, text: str, now: datetime) -> None:
    """Refuse a moment that EC2 would refuse.

    Raises:
        UsageError: it is past, or too far away.
    """
    if moment < now:
        raise UsageError(f"--at {text!r}: expected a moment to come, got one that is past")
    if moment > now + MAX_YEARS * _YEAR:
        raise UsageError(f"--at {text!r}: expected one within {MAX_YEARS} years from now")


def check_public(image: DescribedImage, moment: datetime, text: str) -> None:
    """Refuse a moment that EC2 would refuse for a public AMI.

    Raises:
        UsageError: it is too far away.
    """
    is_dated = image.created > LONG_AGO
    if image.is_public and is_dated and moment > image.created + MAX_PUBLIC_YEARS * _YEAR:
        raise UsageError(
            f"--at {text!r}: expected one within {MAX_PUBLIC_YEARS} years from the creation of "
            f"AMI {image.image_id}, as it is public: {image.creation_date}"
        )
