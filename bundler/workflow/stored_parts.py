"""Parts in S3: read side by side, and each one verified before any byte of it is used."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from bundler.host.files import os_errors
from bundler.model.bundle import MAX_PART_SIZE, MIB, Part
from bundler.model.manifest import Manifest
from bundler.workflow.part_files import CHUNK_SIZE, check_bundled_size
from bundler.workflow.ports import BundleReader

MAX_AHEAD_SIZE = 80 * MIB
"""Most bytes of parts in memory, as far as the manifest tells the truth about their sizes."""


def read_stored_parts(store: BundleReader, manifest: Manifest) -> Iterator[bytes]:
    """The bytes of all parts in S3, one after another; nothing is written to the disk.

    Only parts over MAX_PART_SIZE, which we do not make, wait in a temporary file without a name.

    Raises:
        VerificationError: a part's digest, or the sum of the sizes, does not hold.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
        HostError: no room for a large part.
    """
    total = 0
    for body in fetch_parts(store, manifest):
        with body:
            while chunk := body.read(CHUNK_SIZE):
                total += len(chunk)
                yield chunk
    check_bundled_size(manifest, total)


def fetch_parts(
    store: BundleReader, manifest: Manifest, parts: Sequence[Part] | None = None
) -> Generator[BinaryIO, None, None]:
    """The parts in S3, or some of them, each one verified; later ones are fetched meanwhile.

    Raises:
        VerificationError: a part's digest does not hold.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
        HostError: no room for a large part.
    """
    waiting: deque[Future[BinaryIO]] = deque()
    depth = _read_ahead_depth(store, manifest)
    pool = ThreadPoolExecutor(depth, thread_name_prefix="fetch")
    try:
        for part in manifest.parts if parts is None else parts:
            waiting.append(pool.submit(_fetch, store, part, manifest.bundled_size))
            if len(waiting) == depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BaseException:
        store.cancel()
        for future in waiting:
            future.add_done_callback(_close)
        raise
    finally:
        # Not waited for: a connection may hang.
        pool.shutdown(wait=False, cancel_futures=True)


def _read_ahead_depth(store: BundleReader, manifest: Manifest) -> int:
    """Parts to fetch side by side: all but the last are of one size."""
    part_size = manifest.bundled_size // max(1, len(manifest.parts) - 1)
    return max(1, min(store.concurrency, MAX_AHEAD_SIZE // part_size if part_size else 1))


def _fetch(store: BundleReader, part: Part, limit: int) -> BinaryIO:
    url = store.location.join(part.filename).url
    with os_errors("keep a part of", url):
        # In memory, unless it is huge.
        file = cast("BinaryIO", SpooledTemporaryFile(max_size=MAX_PART_SIZE))  # noqa: SIM115
        try:
            store.fetch(part.filename, file, sha1=part.digest.value, limit=limit, advance=_ignore)
        except BaseException:
            file.close()
            raise
        file.seek(0)
    return file


def _close(future: Future[BinaryIO]) -> None:
    """Close what nobody will use."""
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def _ignore(size: int) -> None:
    """Whoever uses the bytes tells how far the work is."""
