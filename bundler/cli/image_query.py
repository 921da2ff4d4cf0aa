"""Options by which AMIs are looked for."""

import argparse
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from bundler.cli.structured import read_structured
from bundler.errors import UsageError
from bundler.model.described_image import (
    S3_BACKED,
    ImageFilter,
    ImageQuery,
    parse_date,
)
from bundler.model.image import Architecture, ImageState, VirtualizationType, is_text

EVERYBODY = "all"
"""For --owner: AMIs of all owners, as far as the caller may launch them."""

_ALIASES = ("self", "amazon", "aws-marketplace", "aws-backup-vault")

_VALUES = {
    "state": (*ImageState,),
    "root_device_type": ("ebs", S3_BACKED, "s3"),
    "virtualization_type": (*VirtualizationType,),
    "arch": (*Architecture, "x86_64_mac", "arm64_mac"),
}
"""What EC2 knows.  Source: DescribeImages, `Images`."""

_FILTERS = {
    "name": "name",
    "arch": "architecture",
    "root_device_type": "root-device-type",
    "virtualization_type": "virtualization-type",
    "state": "state",
}
"""Options, and the filters of DescribeImages that they are."""


def add_owner_options(parser: argparse.ArgumentParser) -> None:
    """Whose AMIs."""
    parser.add_argument(
        "--owner",
        "--owners",
        nargs="+",
        action="extend",
        default=[],
        metavar="OWNER",
        help="self (default, but with --executable-by), amazon, aws-marketplace, an account, or "
        "all; may be given again",
    )
    parser.add_argument(
        "--executable-by",
        "--executable-users",
        nargs="+",
        action="extend",
        default=[],
        metavar="WHO",
        help="only what self, or an account, was given leave to launch, or all (public ones)",
    )
    parser.add_argument(
        "--include-deprecated", action="store_true", help="deprecated ones of others, too"
    )
    parser.add_argument("--include-disabled", action="store_true", help="disabled ones, too")


def add_filter_options(parser: argparse.ArgumentParser) -> None:
    """Which AMIs."""
    parser.add_argument(
        "--name", default="", metavar="PATTERN", help="with * and ?, here and below"
    )
    parser.add_argument("--arch", "--architecture", default="", help="such as x86_64")
    parser.add_argument(
        "--root-device-type", default="", metavar="TYPE", help="ebs, or instance-store or s3"
    )
    parser.add_argument("--virtualization-type", default="", help="hvm or paravirtual")
    parser.add_argument("--state", default="", help="such as available, pending, failed, disabled")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY[=PATTERN]",
        help="which have that tag; may be given again: other keys must be there as well, of the "
        "same key one value",
    )
    parser.add_argument(
        "--created-after",
        default="",
        metavar="DATE",
        help="or at it: 2026-01-31, or 2026-01-31T12:00, in UTC unless it has an offset",
    )
    parser.add_argument("--created-before", default="", metavar="DATE")
    parser.add_argument(
        "--image-location",
        default="",
        metavar="PATTERN",
        help="the manifest of an S3-backed AMI: BUCKET/KEY or s3://BUCKET/KEY",
    )
    parser.add_argument(
        "--filters",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILTER",
        help="EC2's own, as the AWS CLI takes them: Name=NAME,Values=VALUE,... or JSON, or "
        "file://PATH",
    )


def query_of(arguments: argparse.Namespace) -> ImageQuery:
    """What all these options say.

    Raises:
        UsageError: one is wrong.
        InputError, MissingError, HostError: the file of --filters cannot be read.
    """
    owners = arguments.owner or ([] if arguments.executable_by else ["self"])
    includes = {
        name for name in ("deprecated", "disabled") if getattr(arguments, f"include_{name}")
    }
    if arguments.state == "disabled":
        includes.add("disabled")
    filters = (
        *_own_filters(arguments),
        *_tag_filters(arguments.tag),
        *read_filters(arguments.filters),
    )
    for one in filters:
        if not all(map(is_text, (one.name, *one.values))):
            raise UsageError(f"filter {one.name!r}: expected UTF-8")
    return ImageQuery(
        owners=tuple(
            _check_who("--owner", owner, (*_ALIASES, EVERYBODY))
            for owner in owners
            if owner != EVERYBODY
        ),
        executable_by=tuple(
            _check_who("--executable-by", who, ("self", "all")) for who in arguments.executable_by
        ),
        filters=filters,
        includes=frozenset(includes),
        created_after=read_date("--created-after", arguments.created_after),
        created_before=read_date("--created-before", arguments.created_before),
        location=arguments.image_location.removeprefix("s3://").strip("/"),
    )


def read_date(option: str, text: str) -> datetime | None:
    """A moment; None when there is none.

    Raises:
        UsageError: it is no date.
    """
    if not text:
        return None
    try:
        return parse_date(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r}: expected a date such as 2026-01-31 or 2026-01-31T12:00Z"
        ) from error


def read_filters(words: Sequence[str]) -> Iterator[ImageFilter]:
    """Filters as the AWS CLI takes them: a word is one, or a JSON list of them.

    Raises:
        UsageError: one is malformed.
        InputError, MissingError, HostError: a file cannot be read.
    """
    for word in words:
        found = read_structured("--filters", word)
        for item in found if isinstance(found, list) else [found]:
            yield _read_filter(item)


def _read_filter(item: object) -> ImageFilter:
    if isinstance(item, dict) and item.keys() == {"Name", "Values"}:
        name, values = item["Name"], item["Values"]
        texts = values if isinstance(values, list) else [values]
        if isinstance(name, str) and texts and all(isinstance(text, str) for text in texts):
            return ImageFilter(name=name, values=tuple(texts))
    raise UsageError(f"--filters: expected Name=NAME,Values=VALUE,..., got {item!r}")


def _own_filters(arguments: argparse.Namespace) -> Iterator[ImageFilter]:
    for option, name in _FILTERS.items():
        value: str = getattr(arguments, option)
        if option == "root_device_type" and value == "s3":
            value = S3_BACKED
        if value:
            _check_value(option, value)
            yield ImageFilter(name=name, values=(value,))


def _check_value(option: str, value: str) -> None:
    """EC2 takes any value, and finds nothing by a misspelt one; patterns are EC2's to read."""
    known = dict.fromkeys(map(str, _VALUES.get(option, (value,))))
    if value not in known and not set("*?") & set(value):
        name = option.replace("_", "-")
        raise UsageError(f"--{name} {value!r}: expected one of {', '.join(known)}")


def _tag_filters(words: Sequence[str]) -> Iterator[ImageFilter]:
    """A filter for each key; a key alone stands for any value."""
    values: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise UsageError(f"--tag {word!r}: expected KEY or KEY=VALUE")
        values.setdefault(key, []).extend([value] if equals else [])
    for key, told in values.items():
        yield ImageFilter(name=f"tag:{key}", values=tuple(told or ["*"]))


def _check_who(option: str, who: str, words: tuple[str, ...]) -> str:
    if who in words or re.fullmatch(r"[0-9]{12}", who, re.ASCII):
        return who
    known = ", ".join(words)
    raise UsageError(f"{option} {who!r}: expected {known} or the 12 digits of an account")
