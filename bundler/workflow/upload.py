"""Bundle to S3: parts first, the manifest last; what S3 holds already is not sent again."""

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import ExistsError
from bundler.model.bundle import Part
from bundler.model.digest import Digest
from bundler.model.file_name import is_part_of, manifest_name, part_name, part_names
from bundler.model.image import ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.workflow.manifest_file import MAX_MANIFEST_SIZE, manifest_sha1
from bundler.workflow.part_files import check_bundled_size, check_parts_present, open_part
from bundler.workflow.ports import BundleStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBundle:
    """What S3 has under a bundle's name before anything is sent."""

    name: str
    has_manifest: bool
    is_same: bool
    """Whether its manifest is the very one that is to be sent."""
    part_sizes: Mapping[str, int]
    """File names of parts, and their sizes in bytes."""
    has_own_parts: bool = False
    """Whether parts may be of this run, or of one that it continues, though none was listed."""
    is_forced: bool = False
    """Whether what is in the way may be replaced."""

    def expects_none(self, file_name: str) -> bool:
        """Whether an object of that name, of other content, can only be somebody else's.

        He writes the bundle meanwhile; or, when a manifest names parts as no part of its
        bundle is named, it is another bundle's.
        """
        if self.is_same or self.has_own_parts:
            return False
        if not is_part_of(file_name, self.name):
            return not self.is_forced
        return file_name not in self.part_sizes

    def may_hold(self, file_name: str, size: int) -> bool:
        """Whether it is worth a request to ask if S3 holds just this part."""
        # Other bundles' names were not listed.
        is_listed = is_part_of(file_name, self.name)
        return self.is_same or not is_listed or self.part_sizes.get(file_name) == size


def find_bundle(
    store: BundleStore, name: str, *, force: bool, ours: Collection[bytes] = ()
) -> FoundBundle:
    """Look for a bundle of that name in S3, and end what earlier uploads left unfinished.

    Parts without a manifest, which an interrupted run leaves, need no `force`; nor does a
    manifest whose SHA-1 is one of `ours`: an earlier run has sent it.

    Raises:
        ExistsError: there is another manifest and `force` is not given.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    # A listing may be late; of a single object S3 always tells the truth.
    manifest = store.head(manifest_name(name))
    is_same = False
    if manifest is not None and ours:
        # Not every server knows a SHA-1.
        document = manifest_name(name)
        sha1 = manifest.sha1 or manifest_sha1(store.read(document, limit=MAX_MANIFEST_SIZE))
        is_same = sha1 in ours
    if manifest is not None and not (is_same or force):
        url = store.location.join(manifest_name(name)).url
        raise ExistsError(f"write bundle: {url} exists; --force replaces it")

    parts = [stored for stored in store.list(f"{name}.part.") if is_part_of(stored.name, name)]
    store.abort_uploads(f"{name}.part.", lambda file_name: is_part_of(file_name, name))
    return FoundBundle(
        name=name,
        has_manifest=manifest is not None,
        is_same=is_same,
        part_sizes={stored.name: stored.size for stored in parts},
        is_forced=force,
    )


class StoreSink:
    """Sends the parts of a new bundle to S3 as they are made (ports.PartSink).

    Parts must be named before it is known how many there will be, so their names have as
    many digits as `most_parts` has; the manifest tells the names, so that any width reads.
    """

    def __init__(
        self, store: BundleStore, most_parts: int, found: FoundBundle, *, resume: bool
    ) -> None:
        self._store = store
        self._found = found
        self._resume = resume
        self._most_parts = most_parts
        self._part_count = 0

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        """Send a part in the background; waits while too many are on their way."""
        if index == 0:
            remove_old_manifest(self._store, self._found)
        name = part_name(self._found.name, index, self._most_parts)
        may_be_held = self._resume and self._found.may_hold(name, len(data))
        self._store.put(
            name,
            io.BytesIO(data),
            sha1=digest.value,
            may_be_held=may_be_held,
            only_new=self._found.expects_none(name),
        )
        self._part_count = index + 1

    def part_names(self, count: int) -> tuple[str, ...]:
        """The names that the parts have."""
        return part_names(self._found.name, self._most_parts)[:count]

    def put_manifest(self, document: bytes) -> None:
        """Send the manifest once all parts have arrived; then old parts go."""
        put_manifest(self._store, self._found.name, document)
        remove_old_parts(self._store, self._found, self.part_names(self._part_count))


def put_manifest(
    store: BundleStore, name: str, document: bytes, *, may_be_held: bool = False
) -> None:
    """Send a bundle's manifest once all that was put before has arrived.

    Raises:
        ExistsError: somebody else has put one there meanwhile.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    store.flush()
    store.put(
        manifest_name(name),
        io.BytesIO(document),
        sha1=manifest_sha1(document),
        may_be_held=may_be_held,
        only_new=True,
    )
    store.flush()


def check_first_part(store: BundleStore, found: FoundBundle, part: Part) -> None:
    """Refuse early to write among the parts of another bundle; the store guards each of them.

    Raises:
        ExistsError: a part that is not named as this bundle's own is there, of other content.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    if is_part_of(part.filename, found.name) or not found.expects_none(part.filename):
        return
    there = store.head(part.filename)
    if there is not None and there.sha1 and there.sha1 != part.digest.value:
        raise ExistsError(
            f"write bundle: {store.location.join(part.filename).url} exists, and is another "
            "bundle's; choose another prefix, or --force replaces it"
        )


def remove_old_manifest(store: BundleStore, found: FoundBundle) -> None:
    """Before the first part is overwritten: without its manifest nobody believes a bundle."""
    if found.has_manifest and not found.is_same:
        store.delete((manifest_name(found.name),))


def remove_old_parts(store: BundleStore, found: FoundBundle, new: tuple[str, ...]) -> None:
    """Remove the parts of the old bundle that the new one, now whole, has not overwritten."""
    if old := sorted(found.part_sizes.keys() - set(new)):
        store.delete(old)


def upload_bundle(
    signed: SignedManifest,
    document: bytes,
    directory: Path,
    store: BundleStore,
    *,
    found: FoundBundle,
    resume: bool,
) -> ImageLocation:
    """Send a bundle on the local disk to S3; the location of its manifest there.

    Every part is verified before it is sent.  With `resume` parts that S3 holds, of the same
    size and digest, are not sent again.  When anything fails no manifest is sent, and what is
    on its way is given up.

    Raises:
        MissingError, VerificationError: a part is absent or damaged.
        ExistsError: somebody else has written the bundle meanwhile.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    manifest = signed.manifest
    check_parts_present(directory, manifest)
    check_first_part(store, found, manifest.parts[0])
    total = 0
    try:
        for part in manifest.parts:
            body = open_part(directory, part, limit=manifest.bundled_size)
            size = body.seek(0, io.SEEK_END)
            total += size
            if part.index == 0:
                remove_old_manifest(store, found)
            may_be_held = resume and found.may_hold(part.filename, size)
            store.put(
                part.filename,
                body,
                sha1=part.digest.value,
                may_be_held=may_be_held,
                only_new=found.expects_none(part.filename),
            )
        check_bundled_size(manifest, total)
        put_manifest(store, found.name, document, may_be_held=found.is_same)
        remove_old_parts(store, found, tuple(part.filename for part in manifest.parts))
    except BaseException:
        store.cancel()
        raise
    return store.location.join(manifest_name(found.name))
