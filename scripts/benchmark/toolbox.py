"""Programs from the Python package index that the benchmark installs for itself."""

import sys
from pathlib import Path

from benchmark.process import BenchError, find_tool, run
from benchmark.runner import say


def install(package: str, program: str, work_dir: Path) -> Path:
    """The path of a program of a package; installed into an environment of its own at first.

    Packages share none: the AWS CLI and ami-bundler want other versions of the same library.

    Raises:
        BenchError: it cannot be installed.
    """
    directory = work_dir / f"tool-{package}"
    path = directory / "bin" / program
    # Left only when everything was installed.
    done = directory / "installed"
    if not done.exists():
        say(f"{package}: installing into {directory}")
        run((sys.executable, "-I", "-m", "venv", "--clear", str(directory)))
        pip = (str(directory / "bin" / "python"), "-I", "-m", "pip")
        run((*pip, "--disable-pip-version-check", "install", "--quiet", package))
        done.touch()
    if not path.is_file():
        raise BenchError(f"{package}: expected {path}, got nothing there")
    return path


def find_aws(given: str, work_dir: Path) -> str:
    """The AWS CLI: the one given, a path or a name on PATH, or one of our own.

    Raises:
        BenchError: there is no such program, or it cannot be installed.
    """
    if not given:
        return str(install("awscli", "aws", work_dir))
    path = find_tool(given)
    if path is None:
        raise BenchError(f"--aws {given}: expected a program, got nothing that can be run")
    return path if Path(path).is_absolute() else str(Path.cwd() / path)


def version_of(path: str) -> str:
    """What a program says of its version."""
    return run((path, "--version")).decode(errors="replace").strip()
