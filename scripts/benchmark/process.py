"""Run programs for the benchmark: find them, run them, measure them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""Where programs are looked for; mke2fs is not on every user's PATH."""


class BenchError(Exception):
    """The benchmark cannot go on; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of a command cost, with everything it started."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """Seconds of CPU, user and system."""
    peak: int
    """Bytes resident in the largest single process."""
    floor: int
    """Bytes: the least that `peak` can be; a peak at the floor is an upper bound."""


def find_tool(name: str) -> str | None:
    """The path of a program, None if it is not installed."""
    return shutil.which(name, path=SYSTEM_PATH)


def need_tool(name: str) -> str:
    """The path of a program.

    Raises:
        BenchError: it is not installed.
    """
    path = find_tool(name)
    if path is None:
        raise BenchError(f"{name}: not found on {SYSTEM_PATH}")
    return path


def run(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> bytes:
    """Run a program to its end and return its stdout.

    `env` is added to the environment.

    Raises:
        BenchError: it failed; with the last line of its stderr.
    """
    done = subprocess.run(  # noqa: S603  a list, no shell; arguments are the benchmark's own
        argv,
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(_failure(argv, done.returncode, done.stderr))
    return done.stdout


def measure(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Measurement:
    """Run a program below measure.py, in `cwd`, and return what it cost.

    Raises:
        BenchError: it failed; with the last line of its stderr.
    """
    script = Path(__file__).with_name("measure.py")
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        done = subprocess.run(  # noqa: S603  a list, no shell; arguments are the benchmark's own
            (sys.executable, "-I", "-S", str(script), str(result), *argv),
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise BenchError(_failure(argv, done.returncode, done.stderr))
        cost = json.loads(result.read_bytes())
    if cost["status"]:
        raise BenchError(_failure(argv, cost["status"], done.stderr))
    return Measurement(wall=cost["wall"], cpu=cost["cpu"], peak=cost["peak"], floor=cost["floor"])


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "PATH": SYSTEM_PATH, **(extra or {})}


def _failure(argv: Sequence[str], status: int, stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    command = " ".join(argv)
    command = command if len(command) <= 200 else f"{command[:200]}..."
    return f"exit code {status}: {lines[-1] if lines else 'no message'}: {command!r}"
