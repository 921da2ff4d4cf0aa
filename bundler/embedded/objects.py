"""What the embedded EC2 needs of an S3: moto's own, or one on another server."""

from dataclasses import dataclass
from typing import Protocol

from bundler.model.image import ImageLocation


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObject:
    """An object as EC2 meets it."""

    region: str
    """Of the bucket."""
    size: int
    """Bytes."""
    is_readable: bool
    """Whether its ACL lets EC2 read it (aws-exec-read, or public-read)."""
    is_denied: bool = False
    """Whether the bucket's policy keeps EC2 away, whatever the ACL."""


class ObjectReader(Protocol):
    """Objects of any bucket, read with EC2's eyes; for many threads."""

    def find(self, location: ImageLocation) -> FoundObject | None:
        """Look at an object; None when there is no such bucket or object."""

    def read(self, location: ImageLocation) -> bytes:
        """The bytes of an object that has been found.

        Raises:
            MissingError: it is gone.
        """
