"""Objects that ought to be there: by a listing, and where it lacks one by asking S3."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bundler.errors import UsageError
from bundler.model.stored import StoredObject
from bundler.workflow.ports import BundleReader

MAX_ABSENT_COUNT = 100
"""Objects that S3 denies before the listing is believed about the rest.

Our choice: a late listing lacks objects that are there, and those are asked for however many
they are; a hostile manifest, which names objects by the hundred thousand, is not followed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundObjects:
    """Names that were looked for, by what became of them."""

    found: Mapping[str, StoredObject]
    absent: tuple[str, ...]
    """S3 says that there is none, or there cannot be one."""
    unlisted: tuple[str, ...]
    """The listing lacks them, and too many before them were absent to go on asking."""

    @property
    def size(self) -> int:
        """Bytes of what was found."""
        return sum(stored.size for stored in self.found.values())


def find_objects(
    store: BundleReader, names: Iterable[str], listed: Mapping[str, StoredObject]
) -> FoundObjects:
    """Look for objects; a listing may be late, of a single object S3 tells the truth.

    Raises:
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    found: dict[str, StoredObject] = {}
    absent: list[str] = []
    unlisted: list[str] = []
    for name in names:
        if name in listed:
            found[name] = listed[name]
        elif not _can_be_there(store, name):
            absent.append(name)
        elif len(absent) >= MAX_ABSENT_COUNT:
            unlisted.append(name)
        elif (stored := store.head(name)) is not None:
            found[name] = stored
        else:
            absent.append(name)
    return FoundObjects(found=found, absent=tuple(absent), unlisted=tuple(unlisted))


def _can_be_there(store: BundleReader, name: str) -> bool:
    """Whether S3 has keys like that: a manifest may name what is too long."""
    try:
        store.location.join(name)
    except UsageError:
        return False
    return True
