"""The bundle behind an AMI, as far as S3 tells of it without sending it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from bundler.errors import AwsRefusedError, InputError, TransferError, VerificationError
from bundler.model.image import ImageLocation
from bundler.model.object_access import ObjectAccess, common_access
from bundler.workflow.manifest_file import fetch_manifest
from bundler.workflow.ports import BundleReader, Progress
from bundler.workflow.verify import verify_stored_parts

Item = TypeVar("Item")

AccessCheck = Callable[[ImageLocation], ObjectAccess]
"""Tells who besides its owner may read an object; for many threads."""

MAX_ACL_COUNT = 64
"""Most objects of a bundle whose ACLs are looked at; our choice: there may be a thousand."""

_ABSENT = ("NoSuchBucket", "NoSuchKey", "NotFound")


class RegisteredState(StrEnum):
    """What can be said of the bundle that an AMI was registered from."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    """Parts are missing, or not those that the manifest names."""
    MISSING = "missing"
    """There is no manifest."""
    UNREADABLE = "unreadable"
    """The manifest is malformed."""
    UNKNOWN = "unknown"
    """S3 refuses to tell, or cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredBundle:
    """What is known of it; numbers are 0 unless it is complete."""

    location: ImageLocation
    """The manifest."""
    state: RegisteredState
    problem: str = ""
    size: int = 0
    """Bytes of parts and manifest."""
    part_count: int = 0
    proven_count: int = 0
    """Parts whose SHA-1 S3 keeps, and is that of the manifest; of others only sizes hold."""
    storage_classes: frozenset[str] = frozenset()
    access: ObjectAccess = ObjectAccess.HIDDEN
    """Who may read all objects whose ACL was looked at."""
    acl_count: int = 0
    """Objects whose ACL was looked at."""

    @property
    def object_count(self) -> int:
        """Parts and manifest."""
        return self.part_count + 1

    @property
    def is_shared(self) -> bool | None:
        """Whether its ACLs let others read it, as EC2 must; None when that is hidden."""
        if self.access is ObjectAccess.HIDDEN:
            return None
        return self.access is not ObjectAccess.OWNER


def look_at_bundle(
    store: BundleReader, file_name: str, *, find_access: AccessCheck, progress: Progress
) -> RegisteredBundle:
    """What S3 tells of the bundle of a manifest in `store`; the signature is not checked.

    Of ACLs those of the manifest, the first and the last part are looked at, and of as many
    parts between them as MAX_ACL_COUNT allows.
    """
    location = store.location.join(file_name)
    found = RegisteredBundle(location=location, state=RegisteredState.UNKNOWN)
    try:
        return _look(store, file_name, found, find_access, progress)
    except VerificationError as error:
        return replace(found, state=RegisteredState.INCOMPLETE, problem=str(error))
    except InputError as error:
        return replace(found, state=RegisteredState.UNREADABLE, problem=str(error))
    except (AwsRefusedError, TransferError) as error:
        is_absent = isinstance(error, AwsRefusedError) and error.code in _ABSENT
        state = RegisteredState.MISSING if is_absent else RegisteredState.UNKNOWN
        return replace(found, state=state, problem=str(error))


def _look(
    store: BundleReader,
    file_name: str,
    found: RegisteredBundle,
    find_access: AccessCheck,
    progress: Progress,
) -> RegisteredBundle:
    signed, document = fetch_manifest(store, file_name)
    checks = verify_stored_parts(store, signed.manifest, progress=progress)
    stored = [check.stored for check in checks if check.stored]
    manifest = store.head(file_name)
    names = [file_name, *(check.part.filename for check in spread(checks, MAX_ACL_COUNT - 1))]
    pool = ThreadPoolExecutor(store.concurrency, thread_name_prefix="acl")
    try:
        access = common_access(pool.map(find_access, map(store.location.join, names)))
    finally:
        # Not waited for: a connection may hang.
        pool.shutdown(wait=False, cancel_futures=True)
    return replace(
        found,
        state=RegisteredState.COMPLETE,
        size=len(document) + sum(check.size for check in checks),
        part_count=len(checks),
        proven_count=sum(check.is_proven for check in checks),
        storage_classes=frozenset(
            one.storage_class for one in (*stored, *([manifest] if manifest else []))
        ),
        access=access,
        acl_count=len(names),
    )


def spread(items: Sequence[Item], most: int) -> tuple[Item, ...]:
    """At most `most` (2 or more) of the items, evenly spread from the first to the last."""
    if len(items) <= most:
        return tuple(items)
    last = len(items) - 1
    return tuple(items[index * last // (most - 1)] for index in range(most))
