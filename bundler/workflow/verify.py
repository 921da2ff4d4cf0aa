"""Check a bundle on the local disk against its manifest."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import BundlerError, VerificationError
from bundler.model.bundle import Part
from bundler.model.manifest import Manifest
from bundler.workflow.part_files import check_bundled_size, hash_part
from bundler.workflow.ports import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCheck:
    """What the check of one part found; `problem` is empty when the part holds."""

    part: Part
    size: int
    """Bytes on the disk; 0 when it cannot be read."""
    problem: str


def verify_parts(
    manifest: Manifest, directory: Path, *, workers: int, progress: Progress
) -> tuple[PartCheck, ...]:
    """Check every part: there, of the right digest, and all together of the right size.

    Raises:
        VerificationError: naming the first part that does not hold and how many do not.
    """
    with (
        progress.task(f"verifying {manifest.name}", manifest.bundled_size) as advance,
        ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool,
    ):

        def check(part: Part) -> PartCheck:
            size = 0
            try:
                size = hash_part(directory, part, limit=manifest.bundled_size, advance=advance)
            except BundlerError as error:
                return PartCheck(part=part, size=size, problem=str(error))
            return PartCheck(part=part, size=size, problem="")

        try:
            checks = tuple(pool.map(check, manifest.parts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    problems = [check.problem for check in checks if check.problem]
    if problems:
        more = f" (and {len(problems) - 1} more parts)" if len(problems) > 1 else ""
        raise VerificationError(f"verify bundle {manifest.name}: {problems[0]}{more}")
    check_bundled_size(manifest, sum(check.size for check in checks))
    return checks
