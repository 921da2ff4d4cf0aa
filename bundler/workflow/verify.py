"""Check a bundle, on the local disk or in S3, against its manifest."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from bundler.errors import AwsRefusedError, BundlerError, TransferError, VerificationError
from bundler.model.bundle import Part
from bundler.model.manifest import Manifest
from bundler.model.stored import StoredObject
from bundler.workflow.part_files import Budget, check_bundled_size, hash_part
from bundler.workflow.ports import Advance, BundleReader, Progress

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCheck:
    """What the check of one part found; `problem` is empty when the part holds."""

    part: Part
    size: int
    """Bytes of it; 0 when it cannot be read."""
    is_proven: bool
    """Whether its digest holds; False when only its size could be looked at."""
    problem: str
    stored: StoredObject | None = None
    """What S3 tells of it; None where that was not asked."""


def verify_parts(
    manifest: Manifest, directory: Path, *, workers: int, progress: Progress
) -> tuple[PartCheck, ...]:
    """Check every part: there, of the right digest, and all together of the right size.

    Raises:
        VerificationError: naming the first part that does not hold and how many do not.
    """

    def check(part: Part, advance: Advance) -> PartCheck:
        size = hash_part(directory, part, limit=manifest.bundled_size, advance=advance)
        return PartCheck(part=part, size=size, is_proven=True, problem="")

    return _check_all(manifest, check, workers=workers, progress=progress)


def verify_stored_parts(
    store: BundleReader, manifest: Manifest, *, progress: Progress
) -> tuple[PartCheck, ...]:
    """Check every part in S3 by what S3 tells of it (HeadObject); nothing is read.

    A part whose SHA-1 S3 has checked or computed itself is proven; of others only the sizes
    are known, and their sum must hold.

    Raises:
        VerificationError: naming the first part that does not hold and how many do not.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """

    def check(part: Part, advance: Advance) -> PartCheck:
        url = store.location.join(part.filename).url
        stored = store.head(part.filename)
        if stored is None:
            raise VerificationError(f"look at {url}: there is no such part")
        if stored.sha1 and stored.sha1 != part.digest.value:
            raise VerificationError(
                f"look at {url}: expected {part.digest.algorithm} {part.digest.hexdigest}, "
                f"got {stored.sha1.hex()}"
            )
        advance(stored.size)
        return PartCheck(
            part=part,
            size=stored.size,
            is_proven=bool(stored.sha1),
            problem="",
            stored=stored,
        )

    return _check_all(
        manifest, check, workers=store.concurrency, progress=progress, give_up=store.cancel
    )


def read_all_parts(
    store: BundleReader, manifest: Manifest, *, progress: Progress
) -> tuple[PartCheck, ...]:
    """Check every part in S3 by reading it.

    Raises:
        VerificationError: naming the first part that does not hold and how many do not.
        AwsRefusedError, TransferError: S3 refuses, or cannot be reached.
    """
    budget = Budget(manifest.bundled_size)

    def check(part: Part, advance: Advance) -> PartCheck:
        def take(size: int) -> None:
            budget.take(size)
            advance(size)

        size = store.fetch(
            part.filename,
            cast("BinaryIO", _Nowhere()),
            sha1=part.digest.value,
            limit=manifest.bundled_size,
            advance=take,
        )
        return PartCheck(part=part, size=size, is_proven=True, problem="")

    return _check_all(
        manifest, check, workers=store.concurrency, progress=progress, give_up=store.cancel
    )


def _check_all(
    manifest: Manifest,
    check: Callable[[Part, Advance], PartCheck],
    *,
    workers: int,
    progress: Progress,
    give_up: Callable[[], object] = lambda: None,
) -> tuple[PartCheck, ...]:
    """Check parts side by side, all of them even when one does not hold.

    What is no matter of the bundle (S3 refuses, cannot be reached) is raised as it is, and
    `give_up` ends what is still under way.
    """
    with progress.task(f"verifying {manifest.name}", manifest.bundled_size) as advance:

        def check_one(part: Part) -> PartCheck:
            try:
                return check(part, advance)
            except (AwsRefusedError, TransferError) as error:
                if isinstance(error, AwsRefusedError) and error.code in _ABSENT:
                    return PartCheck(part=part, size=0, is_proven=False, problem=str(error))
                raise
            except BundlerError as error:
                return PartCheck(part=part, size=0, is_proven=False, problem=str(error))

        pool = ThreadPoolExecutor(workers, thread_name_prefix="verify")
        try:
            checks = tuple(pool.map(check_one, manifest.parts))
        except BaseException:
            give_up()
            raise
        finally:
            # Not waited for: a connection may hang.
            pool.shutdown(wait=False, cancel_futures=True)
    problems = [check.problem for check in checks if check.problem]
    if problems:
        more = f" (and {len(problems) - 1} more parts)" if len(problems) > 1 else ""
        raise VerificationError(f"verify bundle {manifest.name}: {problems[0]}{more}")
    check_bundled_size(manifest, sum(check.size for check in checks))
    return checks


class _Nowhere(io.RawIOBase):
    """A file that keeps nothing."""

    def write(self, data: "Buffer", /) -> int:
        return memoryview(data).nbytes

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return offset

    def truncate(self, size: int | None = None, /) -> int:
        return size or 0


_ABSENT = ("NoSuchKey", "NotFound")
"""Codes of an object that is not there."""
