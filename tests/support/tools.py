"""Programs that tests run: other people's, and our own command line."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_VARIABLE = "BUNDLER_REQUIRE_TOOLS"
"""Set to 1, a missing program fails the test instead of skipping it."""

TIMEOUT = 120.0
"""Most seconds that a program may run; none should need a tenth of it."""

WARNING = "ami-bundler: warning: "
"""What a line of our own that is no error begins with."""

_ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:{_ADMIN_PATH}"


def require_tool(name: str) -> str:
    """The path of a program; where there is none the test is skipped, or fails if it must run."""
    path = shutil.which(name, path=_SEARCH_PATH)
    if path is None:
        lacking(f"needs the program {name}")
    return path


def lacking(reason: str) -> NoReturn:
    """Skip the test for what this machine lacks; fail where nothing may be lacking."""
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE_VARIABLE}=1")
    pytest.skip(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended and what it said."""

    code: int
    output: bytes
    errors: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.output.decode()

    @property
    def complaints(self) -> list[str]:
        """Lines on standard error that are not warnings of ours."""
        return [line for line in self.errors.splitlines() if not line.startswith(WARNING)]


def run_program(
    *argv: str | Path,
    data: bytes | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Outcome:
    """Run a program to its end; `data` is its standard input, else it has none."""
    words = [str(word) for word in argv]
    done = subprocess.run(  # noqa: S603 - a test's own words, and no shell
        [require_tool(words[0]), *words[1:]],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        cwd=directory,
        env=environment,
        timeout=timeout,
        check=False,
        start_new_session=True,  # no terminal: nothing can ask questions
    )
    errors = done.stderr.decode(errors="backslashreplace")
    return Outcome(code=done.returncode, output=done.stdout, errors=errors)


def use_tool(*argv: str | Path, data: bytes | None = None, directory: Path | None = None) -> bytes:
    """Run a program that must succeed; what it printed."""
    outcome = run_program(*argv, data=data, directory=directory)
    assert outcome.code == 0, f"{argv}: {outcome.errors}"
    return outcome.output


def cli_argv(*arguments: str | Path) -> list[str]:
    """The command that runs ours."""
    return [sys.executable, "-m", "bundler", *(str(argument) for argument in arguments)]


def cli_environment(**changes: str) -> dict[str, str]:
    """An environment without anybody's keys, regions and settings."""
    root = Path(__file__).parents[2]
    return {
        "PATH": _SEARCH_PATH,
        "PYTHONPATH": str(root),
        "HOME": os.devnull,
        "LC_ALL": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
        **changes,
    }


def run_cli(
    *arguments: str | Path,
    wrapper: Sequence[str] = (),
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run our command line in a process of its own; `wrapper` is a program that starts it."""
    return run_program(
        *wrapper,
        *cli_argv(*arguments),
        directory=directory,
        environment=environment or cli_environment(),
    )


def start_cli(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    """Start our command line, in a process that Ctrl-C interrupts."""
    return subprocess.Popen(  # noqa: S603 - a test's own words, and no shell
        [require_tool("env"), "--default-signal=INT", *cli_argv(*arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=cli_environment(),
        start_new_session=True,
    )


def check_refused(outcome: Outcome, code: int, pattern: str) -> None:
    """Assert that a command failed as it should: its code, one line, and nothing else."""
    assert outcome.code == code, f"exit code {outcome.code}: {outcome.errors}"
    assert outcome.output == b""
    (line,) = outcome.complaints
    assert line.startswith("ami-bundler: ")
    assert re.search(pattern, line), line
    assert line.isprintable()


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    """Every entry below a directory, hidden ones too: size and time of its last change."""
    return {
        str(path.relative_to(directory)): (state.st_size, state.st_mtime_ns)
        for path in sorted(directory.rglob("*"))
        for state in [path.lstat()]
        if not path.is_dir()
    } | {str(path.relative_to(directory)): (0, 0) for path in directory.rglob("*") if path.is_dir()}
