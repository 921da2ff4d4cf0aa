"""Run competitors in rounds, each in an empty directory, and check what they make."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmark.competitors import Competitor, Task, sha256_of
from benchmark.process import BenchError, Measurement, measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What all competitors of a comparison work on."""

    name: str
    size_text: str
    """Its sizes, for people."""
    digest: str
    """Hex SHA-256 that each competitor's check() must find."""

    @classmethod
    def of_image(cls, image: Path) -> Self:
        """An image file; this also brings it into the page cache."""
        status = image.stat()
        return cls(
            name=image.stem,
            size_text=f"{status.st_size:,} bytes, {status.st_blocks * 512:,} allocated",
            digest=sha256_of(image),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One timed run of one competitor."""

    image: str
    """Name of what it worked on."""
    round: int
    task: Task
    name: str
    cost: Measurement
    server_cpu: float
    """CPU seconds of the server at the other end; 0 when there is none."""
    output_size: int
    """Bytes: parts of a bundle, or allocated bytes of an image; 0 if no file comes out."""


def compare(
    competitors: Sequence[Competitor], subject: Subject, *, rounds: int, work_dir: Path
) -> list[Run]:
    """Check each competitor once, then run all of them in each round, in an order that rotates.

    Returns:
        The runs of the rounds, sorted by competitor, then round.

    Raises:
        BenchError: a command failed, or its output is wrong.
    """
    for competitor in competitors:
        say(f"{competitor.name}: warm-up and check")
        _check(competitor, subject.digest, work_dir)
    runs: list[Run] = []
    for number in range(rounds):
        turn = number % max(len(competitors), 1)
        for competitor in (*competitors[turn:], *competitors[:turn]):
            done = _run(competitor, subject, number, work_dir)
            say(f"round {number + 1}/{rounds}: {competitor.name}: {done.cost.wall:.2f} s")
            runs.append(done)
    order = [competitor.name for competitor in competitors]
    return sorted(runs, key=lambda done: (order.index(done.name), done.round))


def private_directory(path: Path) -> Path:
    """Make a directory that only this user can enter, or accept one of this user's.

    Raises:
        BenchError: it belongs to somebody else, or others may write to it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise BenchError(f"{path}: must be a directory of yours that others cannot write to")
    return path.resolve()


def say(message: str) -> None:
    """Tell how far the benchmark is; stdout is for the results."""
    print(message, file=sys.stderr, flush=True)


def _run(competitor: Competitor, subject: Subject, number: int, work_dir: Path) -> Run:
    with _finished(competitor, work_dir) as (directory, cost, server_cpu):
        return Run(
            image=subject.name,
            round=number,
            task=competitor.task,
            name=competitor.name,
            cost=cost,
            server_cpu=server_cpu,
            output_size=_output_size(competitor.task, directory),
        )


def _check(competitor: Competitor, expected: str, work_dir: Path) -> None:
    with _finished(competitor, work_dir) as (directory, *_):
        actual = competitor.check(directory)
        if actual != expected:
            raise BenchError(f"expected output of SHA-256 {expected}, got {actual}")


@contextmanager
def _finished(competitor: Competitor, work_dir: Path) -> Iterator[tuple[Path, Measurement, float]]:
    """Run a competitor in an empty directory, which is removed afterwards.

    Yields:
        The directory, the cost, and the CPU seconds of the server.
    """
    with tempfile.TemporaryDirectory(dir=work_dir, prefix="run-") as name:
        try:
            competitor.prepare()
            os.sync()
            before = competitor.server_cpu()
            cost = measure(competitor.argv, cwd=Path(name), env=competitor.env)
            yield Path(name), cost, competitor.server_cpu() - before
        except BenchError as error:
            raise BenchError(f"{competitor.name}: {error}") from error


def _output_size(task: Task, directory: Path) -> int:
    if task is Task.BUNDLE:
        return sum(path.stat().st_size for path in directory.glob("*.part.*"))
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir() if path.is_file())
