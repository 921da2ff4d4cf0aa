"""Delete a bundle from S3: the manifest first, then what it named.

Without its manifest nobody believes a bundle, so one that is half deleted never looks whole.
The price: who is stopped in between has no list of the parts any more.  Their names still say
whose they are, and `leftovers` takes them by their names.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from bundler.errors import (
    AwsRefusedError,
    InputError,
    InUseError,
    ManifestError,
    TransferError,
    UsageError,
)
from bundler.model.file_name import MANIFEST_SUFFIX, is_part_of, manifest_name
from bundler.model.image import ImageLocation
from bundler.model.manifest import Manifest, SignedManifest
from bundler.model.stored import StoredObject
from bundler.workflow.claimed_parts import find_claims
from bundler.workflow.find_objects import find_objects
from bundler.workflow.manifest_file import fetch_manifest
from bundler.workflow.ports import BundleStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What is to go, all of it beside the manifest."""

    name: str
    """Of the bundle."""
    location: ImageLocation
    """Of its manifest."""
    manifest: StoredObject | None
    """As it was seen; None when it is gone already."""
    parts: tuple[str, ...]
    """File names of what goes after the manifest."""
    part_size: int
    """Bytes of them, as far as S3 tells."""
    foreign_count: int
    """Parts among them that are not named as this bundle's parts are."""
    stray_count: int
    """Parts of its name that stay: the manifest does not name them."""
    upload_names: frozenset[str]
    """What may have been begun to be uploaded and goes too."""

    @property
    def names(self) -> tuple[str, ...]:
        """File names of all that goes, in the order in which it goes."""
        return ((self.manifest.name,) if self.manifest else ()) + self.parts

    @property
    def size(self) -> int:
        """Bytes of all that goes."""
        return self.part_size + (self.manifest.size if self.manifest else 0)


def plan_deletion(
    store: BundleStore,
    name: str,
    *,
    check: Callable[[SignedManifest | None], object] = lambda signed: None,
    force: bool = False,
    leftovers: bool = False,
) -> Deletion:
    """Find out what deleting bundle `name` means; nothing is deleted.

    What the manifest names goes.  `check` may refuse the manifest, or None where there is none that
    can be read; `force` takes parts that are not named as this bundle's own.  With
    `leftovers` parts of the bundle's name go too that no manifest names, because it is gone,
    was another one's, or is malformed: the last needs `force` as well.

    Raises:
        ManifestError, InputError: the manifest is malformed, or names what is not its own.
        InUseError: another manifest names its parts too, and `force` is not given.
        VerificationError: from `check`.
        AwsRefusedError: there is no manifest, or S3 refuses.
        TransferError: S3 cannot be reached.
    """
    location = store.location.join(manifest_name(name))
    manifest = store.head(manifest_name(name))
    own = {part.name: part for part in store.list(f"{name}.part.") if is_part_of(part.name, name)}
    if manifest is None and not leftovers:
        raise _no_manifest(location, own.values())
    named: dict[str, None] = {}  # in order, and quick to look up
    if manifest is None:
        check(None)
    else:
        named = dict.fromkeys(_named_parts(store, name, check, force=force, leftovers=leftovers))
    found = find_objects(store, named, own)
    strays = sorted(own.keys() - named.keys())
    claims = find_claims(store, name, own.keys() | named.keys())
    _check_claims(location, claims, named, force=force)
    # What another manifest names is nobody's leftover.
    strays = [stray for stray in strays if stray not in claims]
    going = (*found.found, *found.unlisted, *(strays if leftovers else ()))
    foreign_count = sum(not is_part_of(part, name) for part in going)
    return Deletion(
        name=name,
        location=location,
        manifest=manifest,
        parts=going,
        part_size=found.size + (sum(own[stray].size for stray in strays) if leftovers else 0),
        foreign_count=foreign_count,
        stray_count=0 if leftovers else len(strays),
        upload_names=frozenset(
            upload
            for upload in store.list_uploads(_upload_prefix(name, foreign_count)) or ()
            if upload == manifest_name(name)
            or upload in named
            or (leftovers and is_part_of(upload, name))
        ),
    )


def delete_bundle(store: BundleStore, deletion: Deletion) -> None:
    """Delete what was planned; the manifest is gone, and seen to be, before any part goes.

    Raises:
        UsageError: the manifest is another one by now.
        AwsRefusedError: S3 refuses.
        TransferError: S3 cannot be reached, or still has the manifest.
    """
    _delete_manifest(store, deletion)
    try:
        if deletion.parts:
            store.delete(deletion.parts)
        if deletion.upload_names:
            prefix = _upload_prefix(deletion.name, deletion.foreign_count)
            store.abort_uploads(prefix, deletion.upload_names.__contains__)
    except (AwsRefusedError, TransferError) as error:
        words = f"{error}; the manifest is gone already: call again with --leftovers"
        raise type(error)(words, code=error.code) from error


def _delete_manifest(store: BundleStore, deletion: Deletion) -> None:
    file_name = manifest_name(deletion.name)
    seen = store.head(file_name)
    if seen is not None and seen != deletion.manifest:
        # Somebody has replaced the bundle while a person was asked: its parts are others.
        raise UsageError(f"delete {deletion.location.url}: it was changed meanwhile; call again")
    if seen is None:
        return
    store.delete((file_name,))
    if store.head(file_name) is not None:
        raise TransferError(
            f"delete {deletion.location.url}: S3 took the request but still has it; nothing "
            "else is deleted"
        )


def _upload_prefix(name: str, foreign_count: int) -> str:
    """What all that goes begins with."""
    return "" if foreign_count else f"{name}."


def _no_manifest(location: ImageLocation, parts: Collection[StoredObject]) -> AwsRefusedError:
    words = f"delete {location.url}: there is no such manifest"
    if not parts:
        return AwsRefusedError(f"{words}; check the name and prefix", code="NoSuchKey")
    size = sum(part.size for part in parts)
    return AwsRefusedError(
        f"{words}, but {len(parts)} parts of that name ({size} bytes), left by a deletion or "
        "upload that was interrupted, or of an upload that is under way; --leftovers deletes them",
        code="NoSuchKey",
    )


def _named_parts(
    store: BundleStore,
    name: str,
    check: Callable[[SignedManifest | None], object],
    *,
    force: bool,
    leftovers: bool,
) -> tuple[str, ...]:
    """The file names of parts in the manifest; none when it is malformed and that is no matter.

    Raises:
        ManifestError, InputError, VerificationError, AwsRefusedError, TransferError: as
            plan_deletion().
    """
    try:
        signed, _ = fetch_manifest(store, manifest_name(name))
    except InputError as error:
        if not (force and leftovers):
            words = f"{error}; --leftovers --force deletes it and what is named {name}.part.N"
            raise type(error)(words) from error
        check(None)
        return ()
    check(signed)
    _check_part_names(store.location.join(manifest_name(name)), signed.manifest, name, force=force)
    return tuple(part.filename for part in signed.manifest.parts)


def _check_claims(
    location: ImageLocation, claims: Mapping[str, str], named: Collection[str], *, force: bool
) -> None:
    """Another bundle may have the same parts: under its name, say, a copy of this manifest.

    Raises:
        InUseError: it has, and `force` is not given.
    """
    shared = [part for part in named if part in claims]
    if shared and not force:
        raise InUseError(
            f"delete {location.url}: {len(shared)} of its parts are those of {claims[shared[0]]} "
            f"too, such as {shared[0]!r}; --force deletes them"
        )


def _check_part_names(
    location: ImageLocation, manifest: Manifest, name: str, *, force: bool
) -> None:
    """A manifest may name any file beside it: another bundle's, or what is of no bundle.

    Raises:
        ManifestError: a part is a manifest, or, without `force`, not NAME.part.N.
    """
    for part in manifest.parts:
        words = f"delete {location.url}: part {part.index} is named {part.filename!r}"
        if part.filename.endswith(MANIFEST_SUFFIX):
            raise ManifestError(f"{words}: a manifest is never deleted as a part")
        if not (force or is_part_of(part.filename, name)):
            raise ManifestError(
                f"{words}, not {name}.part.N: it may be another bundle's; --force deletes it too"
            )
