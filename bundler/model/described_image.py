"""An AMI as DescribeImages tells of it, whosever it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

S3_BACKED = "instance-store"
"""The root device type of AMIs whose root volume comes from a bundle in S3."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""What stands for a date that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedImage:
    """What commands look at; texts are empty where EC2 tells nothing."""

    image_id: str
    name: str
    state: str
    state_reason: str
    owner: str
    """12 digits."""
    owner_alias: str
    """Such as "amazon"; empty for most."""
    architecture: str
    root_device_type: str
    virtualization_type: str
    location: str
    """BUCKET/KEY of the manifest of an S3-backed AMI, as whoever registered it has written it."""
    creation_date: str
    is_public: bool
    facts: Mapping[str, object]
    """All that EC2 tells, in its own words (DescribeImages, `Images`)."""

    @property
    def is_s3_backed(self) -> bool:
        """Whether its root volume comes from a bundle in S3."""
        return self.root_device_type == S3_BACKED

    @property
    def created(self) -> datetime:
        """When it was made; LONG_AGO where EC2 does not tell."""
        try:
            return parse_date(self.creation_date)
        except ValueError:
            return LONG_AGO


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """A filter of DescribeImages: all of them must hold, and of each one of the values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuery:
    """Which AMIs are looked for.

    EC2 looks at the first four.  The others are compared here: EC2 compares dates as texts
    only, and locations with the slashes that somebody has written around them.
    """

    owners: tuple[str, ...] = ()
    """Accounts or aliases; empty: everybody's that the caller may launch."""
    executable_by: tuple[str, ...] = ()
    filters: tuple[ImageFilter, ...] = ()
    includes: frozenset[str] = frozenset()
    """What else is told of: "deprecated", "disabled"."""
    created_after: datetime | None = None
    """Made then, or later."""
    created_before: datetime | None = None
    location: str = ""
    """A pattern with * and ? for BUCKET/KEY."""

    def matches(self, image: DescribedImage) -> bool:
        """Whether an AMI that EC2 tells of is looked for."""
        if self.created_after and image.created < self.created_after:
            return False
        if self.created_before and not LONG_AGO < image.created < self.created_before:
            return False
        return not self.location or is_match(self.location, image.location.strip("/"))


def is_match(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern describes: * is any characters, ? one."""
    words = re.split(r"([*?])", pattern)
    known = {"*": ".*", "?": "."}
    regex = "".join(known.get(word) or re.escape(word) for word in words)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def parse_date(text: str) -> datetime:
    """A day or a moment of ISO 8601, in UTC where it says nothing else.

    Raises:
        ValueError: it is none.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is of no year from 1 to 9999 in UTC") from error
