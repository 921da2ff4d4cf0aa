"""S3 to bundle: digests checked while the parts are read, the manifest last."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bundler.errors import VerificationError
from bundler.host.files import (
    atomic_file,
    check_absent,
    check_directory,
    check_room,
    write_all,
    write_file,
)
from bundler.model.bundle import Part
from bundler.model.file_name import manifest_name
from bundler.model.manifest import SignedManifest
from bundler.stages.tap import Tap
from bundler.workflow.manifest_file import fetch_manifest
from bundler.workflow.part_files import check_bundled_size
from bundler.workflow.ports import BundleStore, Progress


def download_bundle(
    store: BundleStore, name: str, directory: Path, *, progress: Progress
) -> SignedManifest:
    """Get a bundle: the manifest of bundle `name` and every part that it names.

    Nothing is left in the directory when it fails.  The signature is not checked here.

    Raises:
        ExistsError: a file of one of these names is there.
        ManifestError: the manifest is malformed.
        VerificationError: a part's digest, or the sum of the sizes, does not hold.
        AwsRefusedError, TransferError: an object cannot be read.
        MissingError, InputError, HostError: the directory cannot be used, or the disk is full.
    """
    check_directory(directory)
    path = directory / manifest_name(name)
    signed, document = fetch_manifest(store, path.name)
    manifest = signed.manifest
    for file_name in (path.name, *(part.filename for part in manifest.parts)):
        check_absent(directory / file_name, force=False)
    check_room(directory, manifest.bundled_size)
    with (
        progress.task(f"downloading {name}", manifest.bundled_size) as advance,
        ExitStack() as written,
    ):
        total = 0
        for part in manifest.parts:
            target = directory / part.filename
            total += _fetch_part(store, part, target, manifest.bundled_size - total, advance)
            written.callback(target.unlink, missing_ok=True)
        check_bundled_size(manifest, total)
        write_file(path, document)
        written.pop_all()
    return signed


def _fetch_part(
    store: BundleStore, part: Part, path: Path, limit: int, advance: Callable[[int], None]
) -> int:
    """Write one part of at most `limit` bytes to `path`; its size."""
    url = store.location.join(part.filename).url
    tap = Tap()
    with atomic_file(path) as file:
        for chunk in tap(store.get(part.filename)):
            if tap.size > limit:
                raise VerificationError(f"get {url}: expected at most {limit} bytes, got more")
            write_all(file, chunk)
            advance(len(chunk))
        if tap.digest != part.digest:
            raise VerificationError(
                f"get {url}: expected {part.digest.algorithm} {part.digest.hexdigest}, "
                f"got {tap.digest.hexdigest}"
            )
    return tap.size
