"""What only root can do, and a process of its own to do it in."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.support.tools import TIMEOUT, cli_environment, lacking

MOUNT_TABLE = Path("/proc/self/mountinfo")


def require_root() -> None:
    """Skip the test, or fail it, if nobody may mount here."""
    if os.geteuid() != 0:
        lacking("needs root")
    probe = run_python("from bundler.host.mounts import enter_mount_namespace as e; e()")
    if probe.returncode:
        lacking(f"needs a mount namespace of its own: {probe.stderr}")


def run_python(code: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run Python code that has the package, and nothing of the test's process."""
    return subprocess.run(  # noqa: S603 - a test's own words, and no shell
        [sys.executable, "-c", code, *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        env=cli_environment(),
        timeout=TIMEOUT,
        check=False,
    )


def traces(place: Path) -> tuple[frozenset[str], tuple[str, ...]]:
    """The mounts of this machine, and the files below `place` that loop devices are of."""
    mounts = frozenset(MOUNT_TABLE.read_text(errors="replace").splitlines())
    return mounts, tuple(sorted(_backing_files(str(place))))


def _backing_files(place: str) -> Iterator[str]:
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # gone meanwhile, as other tests' devices go
            if (text := path.read_text(errors="replace").strip()).startswith(place):
                yield text


def check_no_traces(place: Path, before: tuple[frozenset[str], tuple[str, ...]]) -> None:
    """Assert that there are soon no more than before: the kernel tidies up behind the killed."""
    deadline = time.monotonic() + TIMEOUT
    while (now := traces(place)) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert now == before
