"""Bundle to S3: parts first, the manifest last."""

import io
from pathlib import Path

from bundler.errors import ExistsError
from bundler.model.digest import Digest
from bundler.model.file_name import manifest_name, parse_part_name, part_name, part_names
from bundler.model.image import ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.stages.tap import sha1_digest
from bundler.workflow.part_files import check_bundled_size, check_parts_present, open_part
from bundler.workflow.ports import BundleStore


class StoreSink:
    """Sends the parts of a new bundle to S3 as they are made (ports.PartSink).

    Parts must be named before it is known how many there will be, so their names have as
    many digits as `most_parts` has; the manifest tells the names, so that any width reads.
    """

    def __init__(
        self, store: BundleStore, name: str, most_parts: int, old: tuple[str, ...]
    ) -> None:
        self._store = store
        self._old = old
        self._name = name
        self._most_parts = most_parts
        self._part_count = 0

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        """Send a part in the background; waits while too many are on their way."""
        if index == 0:
            remove_old_manifest(self._store, self._name, self._old)
        name = part_name(self._name, index, self._most_parts)
        self._store.put(name, io.BytesIO(data), sha1=digest.value)
        self._part_count = index + 1

    def part_names(self, count: int) -> tuple[str, ...]:
        """The names that the parts have."""
        return part_names(self._name, self._most_parts)[:count]

    def put_manifest(self, document: bytes) -> None:
        """Send the manifest once all parts have arrived; then old parts go."""
        put_manifest(self._store, self._name, document)
        new = part_names(self._name, self._most_parts)
        remove_old_parts(self._store, self._old, new[: self._part_count])


def put_manifest(store: BundleStore, name: str, document: bytes) -> None:
    """Send a bundle's manifest once all that was put before has arrived."""
    store.flush()
    sha1 = sha1_digest(document).value
    store.put(manifest_name(name), io.BytesIO(document), sha1=sha1)
    store.flush()


def find_old_bundle(store: BundleStore, name: str, *, force: bool) -> tuple[str, ...]:
    """The objects of a bundle of that name that are in S3 already, to be replaced.

    Parts without a manifest, which an interrupted run leaves, count too and need no `force`.

    Raises:
        ExistsError: there is a manifest and `force` is not given.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    manifest = manifest_name(name)

    def belongs(file_name: str) -> bool:
        parsed = parse_part_name(file_name)
        return file_name == manifest or (parsed is not None and parsed[0] == name)

    old = tuple(filter(belongs, store.list(f"{name}.")))
    if manifest in old and not force:
        raise ExistsError(
            f"write bundle: {store.location.join(manifest).url} exists; --force replaces it"
        )
    return old


def remove_old_manifest(store: BundleStore, name: str, old: tuple[str, ...]) -> None:
    """Before the first part is overwritten: without its manifest nobody believes a bundle."""
    if manifest_name(name) in old:
        store.delete(manifest_name(name))


def remove_old_parts(store: BundleStore, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Remove the parts of the old bundle that the new one, now whole, has not overwritten."""
    for file_name in old:
        if parse_part_name(file_name) and file_name not in new:
            store.delete(file_name)


def upload_bundle(
    signed: SignedManifest,
    document: bytes,
    directory: Path,
    store: BundleStore,
    *,
    name: str,
    old: tuple[str, ...],
) -> ImageLocation:
    """Send a bundle on the local disk to S3; the location of its manifest there.

    Every part is verified before it is sent.  `name` is the manifest's file name without
    its suffix; `old` are the objects of the bundle that is replaced.  When anything fails
    no manifest is sent, and what is on its way is given up.

    Raises:
        MissingError, VerificationError: a part is absent or damaged.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    manifest = signed.manifest
    check_parts_present(directory, manifest)
    total = 0
    try:
        for part in manifest.parts:
            body = open_part(directory, part, limit=manifest.bundled_size)
            total += body.seek(0, io.SEEK_END)
            if part.index == 0:
                remove_old_manifest(store, name, old)
            store.put(part.filename, body, sha1=part.digest.value)
        check_bundled_size(manifest, total)
        put_manifest(store, name, document)
        remove_old_parts(store, old, tuple(part.filename for part in manifest.parts))
    except BaseException:
        store.cancel()
        raise
    return store.location.join(manifest_name(name))
