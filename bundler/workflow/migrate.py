"""A bundle in S3 to another place in S3: copied by S3 itself, or streamed; the manifest last."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bundler.errors import InputError
from bundler.model.bundle import Part
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.model.manifest import Manifest
from bundler.model.stored import StoredObject
from bundler.workflow.manifest_file import fetch_manifest, is_signed_by
from bundler.workflow.migrate_manifest import Migration, is_migrated
from bundler.workflow.part_files import check_bundled_size
from bundler.workflow.ports import Advance, BundleReader, BundleStore, Progress
from bundler.workflow.stored_parts import fetch_parts
from bundler.workflow.upload import (
    FoundBundle,
    check_first_part,
    put_manifest,
    remove_old_manifest,
    remove_old_parts,
)
from bundler.workflow.verify import verify_stored_parts

StoredPart = tuple[Part, StoredObject]
"""A part of the source, and what S3 tells of it."""


def find_parts(
    source: BundleReader, manifest: Manifest, *, progress: Progress
) -> tuple[StoredPart, ...]:
    """Look at every part before anything is sent; nothing is read.

    Raises:
        VerificationError: a part is not there, or not what it must be by what S3 tells.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    checks = verify_stored_parts(source, manifest, progress=progress)
    return tuple((check.part, check.stored) for check in checks if check.stored is not None)


def find_migrated(
    store: BundleStore, name: str, migration: Migration, signer: RSAPublicKey
) -> bytes | None:
    """The manifest that an earlier run of this migration has sent; None when there is none.

    Raises:
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    if store.head(manifest_name(name)) is None:
        return None
    try:
        signed, document = fetch_manifest(store, manifest_name(name))
    except InputError:  # something else has the name
        return None
    is_ours = is_signed_by(signed, signer) and is_migrated(signed.manifest, migration)
    return document if is_ours else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedBundle:
    """A bundle that is whole at its destination."""

    manifest: ImageLocation
    unread_count: int
    """Parts that were there already, so that the source's were not even read."""


def migrate_bundle(
    source: BundleReader,
    store: BundleStore,
    parts: Sequence[StoredPart],
    manifest: Manifest,
    document: bytes,
    *,
    found: FoundBundle,
    is_streaming: bool,
    resume: bool,
    advance: Advance,
) -> MovedBundle:
    """Bring the parts to the destination, then its manifest, `document`.

    S3 copies them, or when streaming each part is read, verified and sent on.  With `resume`
    parts that are there already, whole, are left as they are; `advance` is told of the bytes
    of those that the store is not.  When anything fails no manifest is sent.

    Memory: the parts that are read ahead and those on their way, which fetch_parts() and the
    store bound; nothing is written to the disk.

    Raises:
        VerificationError: a part is not what it must be.
        ExistsError: somebody else has written the bundle meanwhile.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
        HostError: no room for a part of a size that we do not make.
    """
    unread: frozenset[int] = frozenset()
    check_first_part(store, found, manifest.parts[0])
    try:
        if is_streaming:
            unread = _find_held(store, parts, found) if resume else unread
            unread_size = sum(stored.size for part, stored in parts if part.index in unread)
            advance(unread_size)
            missing = [part for part, _ in parts if part.index not in unread]
            for part, _ in parts:
                if part.index in unread:
                    store.grant(part.filename)
            size = _stream(source, store, manifest, missing, found=found, resume=resume)
            check_bundled_size(manifest, unread_size + size)
        else:
            _copy(source, store, parts, found=found, resume=resume)
        put_manifest(store, found.name, document, may_be_held=found.is_same)
        remove_old_parts(store, found, tuple(part.filename for part, _ in parts))
    except BaseException:
        store.cancel()
        raise
    location = store.location.join(manifest_name(found.name))
    return MovedBundle(manifest=location, unread_count=len(unread))


def _copy(
    source: BundleReader,
    store: BundleStore,
    parts: Sequence[StoredPart],
    *,
    found: FoundBundle,
    resume: bool,
) -> None:
    """Let S3 copy the parts, in the background."""
    remove_old_manifest(store, found)
    for part, stored in parts:
        store.copy(
            source.location.join(part.filename),
            part.filename,
            sha1=part.digest.value,
            stored=stored,
            may_be_held=resume and found.may_hold(part.filename, stored.size),
            only_new=found.expects_none(part.filename),
        )


def _stream(
    source: BundleReader,
    store: BundleStore,
    manifest: Manifest,
    missing: Sequence[Part],
    *,
    found: FoundBundle,
    resume: bool,
) -> int:
    """Read parts and send them on, in the background; their bytes."""
    total = 0
    if not missing:
        remove_old_manifest(store, found)
    with closing(fetch_parts(source, manifest, missing)) as bodies:
        for part, body in zip(missing, bodies, strict=True):
            if part is missing[0]:  # the old bundle stays until this one can be read
                remove_old_manifest(store, found)
            size = body.seek(0, io.SEEK_END)
            total += size
            may_be_held = resume and found.may_hold(part.filename, size)
            store.put(
                part.filename,
                body,
                sha1=part.digest.value,
                may_be_held=may_be_held,
                only_new=found.expects_none(part.filename),
            )
    return total


def _find_held(
    store: BundleStore, parts: Sequence[StoredPart], found: FoundBundle
) -> frozenset[int]:
    """Indices of parts that are at the destination, whole, beyond doubt.

    Where the destination tells no SHA-1, its MD5 says as much only if the source, of that MD5,
    has the right SHA-1 by what S3 tells.
    """

    def is_held(stored_part: StoredPart) -> bool:
        part, stored = stored_part
        if not found.may_hold(part.filename, stored.size):
            return False
        there = store.head(part.filename)
        sha1 = part.digest.value
        return (
            there is not None
            and bool(there.sha1 or stored.sha1)
            and there.is_copy_of(stored, sha1=sha1)
        )

    pool = ThreadPoolExecutor(store.concurrency, thread_name_prefix="look")
    try:
        flags = tuple(pool.map(is_held, parts))
    finally:
        # Not waited for: a connection may hang.
        pool.shutdown(wait=False, cancel_futures=True)
    return frozenset(part.index for (part, _), flag in zip(parts, flags, strict=True) if flag)
