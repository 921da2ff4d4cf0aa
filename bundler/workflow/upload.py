"""Bundle to S3: parts first, the manifest last."""

import io
from pathlib import Path

from bundler.model.digest import Digest
from bundler.model.file_name import manifest_name, part_name, part_names
from bundler.model.image import ImageLocation
from bundler.model.manifest import SignedManifest
from bundler.stages.tap import sha1_digest
from bundler.workflow.part_files import check_bundled_size, open_part
from bundler.workflow.ports import BundleStore


class StoreSink:
    """Sends the parts of a new bundle to S3 as they are made (ports.PartSink).

    Parts must be named before it is known how many there will be, so their names have as
    many digits as `most_parts` has; the manifest tells the names, so that any width reads.
    """

    def __init__(self, store: BundleStore, name: str, most_parts: int) -> None:
        self._store = store
        self._name = name
        self._most_parts = most_parts

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        """Send a part in the background; waits while too many are on their way."""
        name = part_name(self._name, index, self._most_parts)
        self._store.put(name, io.BytesIO(data), sha1=digest.value)

    def part_names(self, count: int) -> tuple[str, ...]:
        """The names that the parts have."""
        return part_names(self._name, self._most_parts)[:count]

    def put_manifest(self, document: bytes) -> None:
        """Send the manifest once all parts have arrived."""
        put_manifest(self._store, self._name, document)


def put_manifest(store: BundleStore, name: str, document: bytes) -> None:
    """Send a bundle's manifest once all that was put before has arrived."""
    store.flush()
    sha1 = sha1_digest(document).value
    store.put(manifest_name(name), io.BytesIO(document), sha1=sha1)
    store.flush()


def upload_bundle(
    signed: SignedManifest,
    document: bytes,
    directory: Path,
    store: BundleStore,
    *,
    name: str,
) -> ImageLocation:
    """Send a bundle on the local disk to S3; the location of its manifest there.

    Every part is verified before it is sent.  `name` is the manifest's file name without
    its suffix.  When anything fails no manifest is sent, and what is on its way is given up.

    Raises:
        MissingError, VerificationError: a part is absent or damaged.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    manifest = signed.manifest
    total = 0
    try:
        for part in manifest.parts:
            body = open_part(directory, part, limit=manifest.bundled_size)
            total += body.seek(0, io.SEEK_END)
            store.put(part.filename, body, sha1=part.digest.value)
        check_bundled_size(manifest, total)
        put_manifest(store, name, document)
    except BaseException:
        store.cancel()
        raise
    return store.location.join(manifest_name(name))
