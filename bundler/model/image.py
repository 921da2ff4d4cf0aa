"""Images and AMIs: kinds, architectures, states, and where a manifest lies in S3."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from bundler.errors import UsageError


class ImageType(StrEnum):
    """What an image is (manifest element `image/type`)."""

    MACHINE = "machine"
    KERNEL = "kernel"
    RAMDISK = "ramdisk"


class Architecture(StrEnum):
    """Architectures of S3-backed AMIs (RegisterImage, `Architecture`)."""

    I386 = "i386"
    X86_64 = "x86_64"
    ARM64 = "arm64"


class VirtualizationType(StrEnum):
    """How an AMI's instances are virtualized (RegisterImage, `VirtualizationType`)."""

    HVM = "hvm"
    PARAVIRTUAL = "paravirtual"


class DiskFormat(StrEnum):
    """Formats in which an image is written."""

    RAW = "raw"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"


class ImageState(StrEnum):
    """States of an AMI (DescribeImages, `State`)."""

    PENDING = "pending"
    AVAILABLE = "available"
    INVALID = "invalid"
    DEREGISTERED = "deregistered"
    TRANSIENT = "transient"
    FAILED = "failed"
    ERROR = "error"
    DISABLED = "disabled"


def is_text(words: str) -> bool:
    """Whether words from the command line were UTF-8; Python lets other bytes through."""
    return words.isascii() or not any("\ud800" <= character <= "\udfff" for character in words)


_ACCESS_POINT = re.compile(
    r"arn:aws[a-z-]*:s3:[a-z0-9-]*:[0-9]{12}:accesspoint[/:][A-Za-z0-9.-]{3,63}(?=/|$)"
)
"""An access point's ARN, which S3 takes in the place of a bucket's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLocation:
    """An object, or a prefix of objects, in S3 (RegisterImage, `ImageLocation`: BUCKET/KEY).

    `bucket` may be an access point's ARN; `key` has no leading slash and may be empty when the
    location is a bucket or prefix.

    Raises:
        UsageError: the bucket's name breaks S3's rules for names.
    """

    bucket: str
    key: str

    def __post_init__(self) -> None:
        # S3 allowed 255 characters, capitals and underscores in us-east-1 until 2018, and
        # the old buckets are still there.
        is_name = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", self.bucket)
        if not (is_name or self.is_access_point):
            raise UsageError(f"S3 location: {self.bucket!r} is not a bucket name")
        if not is_text(self.key):
            raise UsageError(f"S3 location: the key {self.key!r} is not UTF-8")
        if len(self.key.encode()) > MAX_KEY_SIZE:
            raise UsageError(f"S3 location: the key is longer than {MAX_KEY_SIZE} bytes")

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse ``s3://BUCKET[/KEY]`` or ``BUCKET/KEY``; slashes around KEY's ends stay out.

        Raises:
            UsageError: no bucket name there.
        """
        words = url.removeprefix("s3://")
        if access_point := _ACCESS_POINT.match(words):
            return cls(bucket=access_point[0], key=words[access_point.end() :].strip("/"))
        bucket, _, key = words.partition("/")
        return cls(bucket=bucket, key=key.strip("/"))

    @property
    def is_access_point(self) -> bool:
        """Whether the bucket is named by the ARN of an access point."""
        return _ACCESS_POINT.fullmatch(self.bucket) is not None

    @property
    def path(self) -> str:
        """BUCKET/KEY, as RegisterImage wants it."""
        return f"{self.bucket}/{self.key}"

    @property
    def url(self) -> str:
        """The ``s3://`` URL."""
        return f"s3://{self.bucket}/{self.key}"

    def join(self, name: str) -> "ImageLocation":
        """The location of `name` below this prefix."""
        return ImageLocation(bucket=self.bucket, key=f"{self.key}/{name}" if self.key else name)


MAX_KEY_SIZE = 1024
"""Most bytes of an object key, in UTF-8.  Source: Amazon S3 user guide, object keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ami:
    """A registered image, as EC2 tells of it (DescribeImages)."""

    image_id: str
    name: str
    state: ImageState
    state_reason: str
    location: str
    """BUCKET/KEY of the manifest; empty when EC2 does not tell."""
