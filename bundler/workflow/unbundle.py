"""Bundle to image file: verified parts, decrypted, inflated, unpacked, sparse again."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from bundler.errors import VerificationError
from bundler.host.files import atomic_file
from bundler.host.image_file import write_sparse
from bundler.model.bundle import BundleKey, Chunk
from bundler.model.manifest import Manifest
from bundler.stages.pipeline import unseal
from bundler.stages.tap import Tap
from bundler.stages.tar import unpack
from bundler.workflow.ports import Advance, Progress


def unbundle(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    output: Path,
    *,
    force: bool,
    workers: int,
    progress: Progress,
) -> None:
    """Make the image of a bundle; it appears under its name when all of it holds.

    `parts` are the parts' bytes, verified, one after another.  The image is readable by its
    owner only: a volume holds secrets.

    Raises:
        ExistsError: the output exists and `force` is not given.
        InputError: the archive in the bundle is not one image of the size told.
        VerificationError: damaged, wrong key, or the digest of the tar stream does not hold.
        HostError: the disk is full or refuses.
    """
    with (
        progress.task(f"unbundling {manifest.name}", manifest.bundled_size) as advance,
        atomic_file(output, mode=0o600, force=force) as file,
        closing(open_image(manifest, parts, secret, workers=workers, advance=advance)) as runs,
    ):
        write_sparse(file, runs, manifest.size)


def check_image(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    *,
    workers: int,
    progress: Progress,
) -> None:
    """Do all that unbundle() does but write.

    Raises:
        InputError, VerificationError: as unbundle().
    """
    with (
        progress.task(f"checking {manifest.name}", manifest.bundled_size) as advance,
        closing(open_image(manifest, parts, secret, workers=workers, advance=advance)) as runs,
    ):
        for _ in runs:
            pass


def open_image(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    *,
    workers: int,
    advance: Advance,
) -> Generator[tuple[int, Chunk], None, None]:
    """The image's data as (offset, bytes); nothing is proven before it ends without error.

    Raises:
        InputError, VerificationError: as unbundle().
    """
    digest = Tap()

    def counted() -> Iterator[bytes]:
        for chunk in parts:
            yield chunk
            advance(len(chunk))

    tar = unseal(counted(), secret, digest, workers=workers)
    yield from unpack(tar, size=manifest.size)
    if digest.digest != manifest.digest:
        raise VerificationError(
            f"unbundle {manifest.name}: expected {manifest.digest.algorithm} "
            f"{manifest.digest.hexdigest} of the tar stream, got {digest.digest.hexdigest}"
        )
