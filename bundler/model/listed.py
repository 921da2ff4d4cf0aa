"""Bundles as they lie in S3: whole or not, how large, and what they cost."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from bundler.model.bundle import MIB
from bundler.model.file_name import MANIFEST_SUFFIX
from bundler.model.image import ImageLocation

STANDARD_PRICE = 0.023
"""US dollars a GB-month.  Source: Amazon S3 pricing, S3 Standard in us-east-1, first 50 TB."""

STANDARD_CLASS = "STANDARD"
"""The storage class that STANDARD_PRICE is of.  Source: ListObjectsV2, `StorageClass`."""

BILLED_SIZE = 1024 * MIB
"""Bytes of a GB-month.  Source: Amazon S3 billing FAQ; a GB is 2**30 bytes there."""


class BundleState(StrEnum):
    """What can be said of a bundle by its manifest and what S3 tells of its parts."""

    COMPLETE = "complete"
    """All parts are there, and their sizes add up.  Their content is not read."""
    INCOMPLETE = "incomplete"
    UNREADABLE = "unreadable"
    """There is a manifest, but it cannot be read or is malformed."""
    NO_MANIFEST = "no manifest"
    """Parts alone: an upload that is under way or was interrupted, or the rest of a deletion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBundle:
    """One bundle in S3 (sizes in bytes)."""

    location: ImageLocation
    """Its manifest, or where that would be."""
    state: BundleState
    size: int
    """All that is stored of it, the manifest included."""
    part_count: int
    """Parts that are there."""
    expected_part_count: int
    """Parts that the manifest names; 0 when no manifest tells."""
    missing: tuple[str, ...] = ()
    """File names of parts that are not there; only the first ones."""
    missing_count: int = 0
    stray_count: int = 0
    """Parts of its name that no manifest beside them names: the rest of another upload."""
    storage_classes: frozenset[str] = frozenset()
    problem: str = ""
    """Why it is unreadable, or incomplete though no part is missing."""

    @property
    def name(self) -> str:
        """The manifest's file name without its suffix."""
        return self.location.key.rpartition("/")[2].removesuffix(MANIFEST_SUFFIX)


def monthly_cost(
    size: int, storage_classes: AbstractSet[str], price: float | None = None
) -> float | None:
    """US dollars a month for `size` bytes; `price` is that of a GB-month.

    None is for storage classes whose price is neither given nor known.
    """
    if price is None:
        if storage_classes - {STANDARD_CLASS}:
            return None
        price = STANDARD_PRICE
    return size / BILLED_SIZE * price
