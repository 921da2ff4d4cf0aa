"""S3 to bundle: digests checked while the parts are read, the manifest last."""

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import ExistsError, ManifestError, VerificationError
from bundler.host.files import (
    atomic_file,
    check_absent,
    check_directory,
    check_room,
    os_errors,
    read_bounded,
    sync_directory,
    write_file,
)
from bundler.model.bundle import Part
from bundler.model.file_name import is_part_of, manifest_name, parse_part_name
from bundler.model.manifest import Manifest, SignedManifest
from bundler.workflow.manifest_file import MAX_MANIFEST_SIZE, fetch_manifest
from bundler.workflow.part_files import Budget, check_bundled_size, hash_part
from bundler.workflow.ports import Advance, BundleReader, Progress

PATIENCE = 2.0
"""Seconds that the other parts get to end when one has failed.  Our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadedBundle:
    """A bundle that is whole on the disk."""

    signed: SignedManifest
    path: Path
    """Its manifest."""
    fetched_count: int
    held_count: int
    """Parts that were on the disk already."""


def download_bundle(
    store: BundleReader,
    name: str,
    directory: Path,
    *,
    check: Callable[[SignedManifest], object] = lambda signed: None,
    force: bool = False,
    resume: bool = True,
    progress: Progress,
) -> DownloadedBundle:
    """Get a bundle: the manifest of bundle `name` and every part that it names.

    Parts appear under their names when they are whole, the manifest last; what an interrupted
    run has left is kept, if its digest holds.  `check` may refuse the manifest before any part
    is read.

    Raises:
        ExistsError: a file of one of these names is there, of other content, and no `force`.
        ManifestError: the manifest is malformed.
        VerificationError: a part's digest, or the sum of the sizes, does not hold.
        AwsRefusedError, TransferError: an object cannot be read.
        MissingError, InputError, HostError: the directory cannot be used, or the disk is full.
    """
    check_directory(directory)
    path = directory / manifest_name(name)
    signed, document = fetch_manifest(store, path.name)
    manifest = signed.manifest
    _check_part_names(manifest)
    check(signed)
    is_there = _check_manifest_file(path, document, force=force)
    with progress.task(f"downloading {name}", manifest.bundled_size) as advance:
        held = _find_held(manifest, directory, resume=resume, force=force, advance=advance)
        missing = [part for part in manifest.parts if part.filename not in held]
        check_room(directory, manifest.bundled_size - sum(held.values()))
        if missing and is_there:
            # Without its manifest nobody believes a bundle that is being replaced.
            with os_errors("remove", path):
                path.unlink()
                sync_directory(directory)
        total = sum(held.values()) + _fetch_all(
            store, manifest, missing, directory, sum(held.values()), advance
        )
        check_bundled_size(manifest, total)
        if missing or not is_there:
            write_file(path, document, force=force)
        if force:
            _remove_stale_parts(manifest, name, directory)
    return DownloadedBundle(
        signed=signed, path=path, fetched_count=len(missing), held_count=len(held)
    )


def _check_part_names(manifest: Manifest) -> None:
    """Whoever wrote a manifest must not choose any file of the directory, such as .bashrc.

    Raises:
        ManifestError: a part is not called NAME.part.N.
    """
    for part in manifest.parts:
        if part.filename.startswith(".") or parse_part_name(part.filename) is None:
            raise ManifestError(
                f"download {manifest.name}: expected a part named NAME.part.N, got "
                f"{part.filename[:80]!r}"
            )


def _check_manifest_file(path: Path, document: bytes, *, force: bool) -> bool:
    """Whether there is a manifest that stays, or is to be replaced.

    Raises:
        ExistsError: there is another one and `force` is not given.
    """
    check_absent(path, force=True)
    if not path.exists():
        return False
    if not force and read_bounded(path, MAX_MANIFEST_SIZE, "read manifest") != document:
        raise ExistsError(f"write {path}: there is another manifest; --force replaces the bundle")
    return True


def _find_held(
    manifest: Manifest,
    directory: Path,
    *,
    resume: bool,
    force: bool,
    advance: Advance,
) -> dict[str, int]:
    """File names and sizes of parts that are on the disk, whole.

    Raises:
        ExistsError: a file of a part's name is something else and `force` is not given.
    """
    held: dict[str, int] = {}
    for part in manifest.parts:
        path = directory / part.filename
        check_absent(path, force=force or resume)
        if not path.exists() or not resume:
            continue
        try:
            size = hash_part(directory, part, limit=manifest.bundled_size, advance=advance)
        except VerificationError as error:
            if not force:
                raise ExistsError(f"{error}; --force replaces the file") from error
            continue
        held[part.filename] = size
    return held


def _fetch_all(
    store: BundleReader,
    manifest: Manifest,
    parts: list[Part],
    directory: Path,
    held_size: int,
    advance: Advance,
) -> int:
    """Fetch parts side by side; the sum of their sizes.  The first failure ends them all."""
    budget = Budget(manifest.bundled_size - held_size)

    def take(size: int) -> None:
        budget.take(size)
        advance(size)

    def fetch(part: Part) -> int:
        with atomic_file(directory / part.filename, force=True) as file:
            return store.fetch(
                part.filename,
                file,
                sha1=part.digest.value,
                limit=manifest.bundled_size,
                advance=take,
            )

    pool = ThreadPoolExecutor(store.concurrency, thread_name_prefix="fetch")
    futures = [pool.submit(fetch, part) for part in parts]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BaseException:
        store.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
        # Let them clean up, but wait for no connection that hangs.
        wait(futures, timeout=PATIENCE)
        raise
    pool.shutdown()
    return sum(future.result() for future in futures)


def _remove_stale_parts(manifest: Manifest, name: str, directory: Path) -> None:
    """Remove parts of a bundle of that name that was longer, now that the new one is whole."""
    new = {part.filename for part in manifest.parts}
    with os_errors("remove old parts from", directory):
        for path in directory.iterdir():
            if is_part_of(path.name, name) and path.name not in new:
                path.unlink()
