"""The bundle behind an AMI, as far as S3 tells of it without sending it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from bundler.errors import AwsRefusedError, InputError, TransferError, VerificationError
from bundler.model.image import ImageLocation
from bundler.workflow.manifest_file import fetch_manifest
from bundler.workflow.ports import BundleReader, Progress
from bundler.workflow.verify import verify_stored_parts

SharedCheck = Callable[[ImageLocation], bool | None]
"""Tells whether others than an object's owner may read it; None when that is hidden."""

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
    is_shared: bool | None = None
    """Whether its ACLs let others read it, as EC2 must; None when that is hidden."""


def look_at_bundle(
    store: BundleReader, file_name: str, *, is_shared: SharedCheck, progress: Progress
) -> RegisteredBundle:
    """What S3 tells of the bundle of a manifest in `store`; the signature is not checked.

    Of ACLs those of the manifest, the first and the last part are looked at.
    """
    location = store.location.join(file_name)
    found = RegisteredBundle(location=location, state=RegisteredState.UNKNOWN)
    try:
        return _look(store, file_name, found, is_shared, progress)
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
    is_shared: SharedCheck,
    progress: Progress,
) -> RegisteredBundle:
    signed, document = fetch_manifest(store, file_name)
    checks = verify_stored_parts(store, signed.manifest, progress=progress)
    stored = [check.stored for check in checks if check.stored]
    manifest = store.head(file_name)
    names = (file_name, checks[0].part.filename, checks[-1].part.filename)
    answers = {is_shared(store.location.join(name)) for name in dict.fromkeys(names)}
    return replace(
        found,
        state=RegisteredState.COMPLETE,
        size=len(document) + sum(check.size for check in checks),
        part_count=len(checks),
        proven_count=sum(check.is_proven for check in checks),
        storage_classes=frozenset(
            one.storage_class for one in (*stored, *([manifest] if manifest else []))
        ),
        # One that EC2 cannot read is enough.
        is_shared=False if False in answers else None if None in answers else True,
    )
