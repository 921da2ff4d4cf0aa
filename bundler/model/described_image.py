"""An AMI as DescribeImages tells of it, whosever it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bundler.errors import UsageError
from bundler.model.device_mapping import DeviceMapping
from bundler.model.image import Architecture, ImageLocation, ImageState, VirtualizationType
from bundler.model.registration import BootMode, Registration
from bundler.model.resource_tag import Tag

S3_BACKED = "instance-store"
"""The root device type of AMIs whose root volume comes from a bundle in S3."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
"""What stands for a date that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedImage:
    """What commands look at; texts are empty where EC2 tells nothing."""

    image_id: str
    name: str = ""
    description: str = ""
    state: ImageState
    state_reason: str = ""
    owner: str = ""
    """12 digits."""
    owner_alias: str = ""
    """Such as "amazon"; empty for most."""
    is_public: bool = False
    creation_date: str = ""
    root_device_type: str = ""
    """instance-store or ebs."""
    root_device_name: str = ""
    location: str = ""
    """BUCKET/KEY of the manifest of an S3-backed AMI, as whoever registered it has written it."""
    architecture: str = ""
    virtualization_type: str = ""
    kernel_id: str = ""
    ramdisk_id: str = ""
    has_sriov: bool = False
    has_ena: bool = False
    boot_mode: str = ""
    needs_imds_v2: bool = False
    protection: str = ""
    """Of deregistration: "disabled" or empty, else how it is protected."""
    source_instance_id: str = ""
    """The instance that it was made from by CreateImage."""
    source_image_id: str = ""
    """The AMI that it is a copy of, by CopyImage."""
    mappings: tuple[DeviceMapping, ...] = ()
    snapshot_ids: tuple[str, ...] = ()
    """Of its EBS volumes."""
    tags: tuple[Tag, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    """All that EC2 tells, in its own words (DescribeImages, `Images`)."""

    @property
    def is_s3_backed(self) -> bool:
        """Whether its root volume comes from a bundle in S3."""
        return self.root_device_type == S3_BACKED

    @property
    def is_protected(self) -> bool:
        """Whether EC2 will not deregister it."""
        return self.protection not in ("", "disabled")

    @property
    def root_snapshot_id(self) -> str:
        """The snapshot that its root volume is made from; empty: it is S3-backed, or unknown."""
        for mapping in self.mappings:
            if mapping.ebs is not None and mapping.device == self.root_device_name:
                return str(mapping.ebs.get("SnapshotId", ""))
        return ""

    @property
    def created(self) -> datetime:
        """When it was made; LONG_AGO where EC2 does not tell."""
        try:
            return parse_date(self.creation_date)
        except ValueError:
            return LONG_AGO

    @property
    def given_tags(self) -> tuple[Tag, ...]:
        """Those that another AMI can have; AWS's own (aws:...) nobody else may give."""
        return tuple(tag for tag in self.tags if not tag[0].lower().startswith("aws:"))

    def registration(self) -> Registration:
        """What registers an S3-backed AMI of the same manifest and attributes.

        Raises:
            UsageError: EC2 does not tell enough, or what no registration can have.
        """
        try:
            architecture = Architecture(self.architecture)
            virtualization_type = VirtualizationType(self.virtualization_type)
            boot_mode = BootMode(self.boot_mode) if self.boot_mode else None
        except ValueError as error:
            raise UsageError(
                f"AMI {self.image_id}: EC2 tells of it what is not known: {error}"
            ) from error
        return Registration(
            location=ImageLocation.parse(self.location.strip("/")),
            name=self.name,
            description=self.description,
            architecture=architecture,
            virtualization_type=virtualization_type,
            kernel_id=self.kernel_id,
            ramdisk_id=self.ramdisk_id,
            root_device_name=self.root_device_name,
            mappings=tuple(one for one in self.mappings if one.virtual),
            has_sriov=self.has_sriov,
            has_ena=self.has_ena,
            boot_mode=boot_mode,
            needs_imds_v2=self.needs_imds_v2,
            tags=self.given_tags,
        )


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
