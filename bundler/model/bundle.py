"""Parts, keys and limits of a bundle."""

import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum

from bundler.errors import ManifestError
from bundler.model.digest import Digest

MIB = 1024 * 1024
"""Bytes of a mebibyte."""

PART_SIZE = 10 * MIB
"""Bytes of every part but the last.  Source: AMI Tools; smaller parts are read by all."""

MIN_PART_SIZE = 1024
"""Least bytes that a part may be asked to have; our choice."""

MAX_PART_SIZE = 64 * MIB
"""Most bytes that a part may be asked to have; our choice: whole parts are held in memory."""

MAX_IMAGE_SIZE = 10 * 1024 * MIB
"""Most bytes of an image that EC2 takes.  Source: EC2 user guide, S3-backed root volumes."""

MAX_NAME_SIZE = 99
"""Most bytes of a bundle's name that we write: what a tar header holds without extensions."""

SECRET_SIZE = 16
"""Bytes of an AES-128 key and of its initialisation vector."""


def check_file_name(name: str, subject: str) -> None:
    """Refuse what no file of a bundle can be called: names from manifests are hostile.

    Raises:
        ManifestError: `name` is empty, a dot name, has a slash, NUL or control character,
            or is too long for a file system.
    """
    if (
        name in ("", ".", "..")
        or "/" in name
        or any(unicodedata.category(character) == "Cc" for character in name)
        or len(name.encode(errors="surrogatepass")) > 255
    ):
        raise ManifestError(f"{subject}: {name[:80]!r} is not a plain file name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a bundle (manifest element `image/parts/part`).

    Raises:
        ManifestError: the index is negative or the file name is not a plain one.
    """

    index: int
    filename: str
    digest: Digest
    """SHA-1 of the part's bytes as stored, encrypted."""

    def __post_init__(self) -> None:
        if self.index < 0:
            raise ManifestError(f"part {self.index}: the index is negative")
        check_file_name(self.filename, f"part {self.index}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKey:
    """The AES-128 key and IV of one bundle: 16 bytes each, secret, never shown."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != SECRET_SIZE or len(self.iv) != SECRET_SIZE:
            raise ValueError(f"an AES-128 key and IV have {SECRET_SIZE} bytes each")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A bundle key, RSA-encrypted for one reader (`ec2_encrypted_*`, `user_encrypted_*`).

    Bytes of the two ciphertexts; the reader's RSA modulus gives their length.
    """

    key: bytes
    iv: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """A run of bytes of an image that holds data; what lies between extents are holes."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the first byte behind the extent."""
        return self.offset + self.size


Chunk = bytes | bytearray
"""Bytes in flight between two stages; nobody changes them."""


class CompressionLevel(StrEnum):
    """How hard a bundle is compressed; the same level always gives the same bytes."""

    FAST = "fast"
    BALANCED = "balanced"
    SMALL = "small"
