"""Digests as the manifest holds them."""

from dataclasses import dataclass
from enum import StrEnum

from bundler.errors import ManifestError


class DigestAlgorithm(StrEnum):
    """Digest algorithms that every reader of bundles knows (element attribute `algorithm`)."""

    SHA1 = "SHA1"


SHA1_SIZE = 20
"""Bytes of a SHA-1 digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A digest: 20 bytes of SHA-1, the only algorithm of bundles.

    Raises:
        ManifestError: `value` does not have 20 bytes.
    """

    value: bytes
    algorithm: DigestAlgorithm = DigestAlgorithm.SHA1

    def __post_init__(self) -> None:
        if len(self.value) != SHA1_SIZE:
            raise ManifestError(
                f"{self.algorithm} digest: expected {SHA1_SIZE} bytes, got {len(self.value)}"
            )

    @property
    def hexdigest(self) -> str:
        """The digest as lower-case hexadecimal text."""
        return self.value.hex()
