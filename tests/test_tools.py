"""ruff and mypy as tests: what scripts/test runs is all there is to run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("mypy",), id="mypy"),
        pytest.param(("ruff", "check", "--quiet"), id="ruff check"),
        pytest.param(("ruff", "format", "--check", "--quiet"), id="ruff format"),
    ],
)
def test_tool_has_nothing_to_say(words: tuple[str, ...]) -> None:
    done = subprocess.run(  # noqa: S603  a list of the test's own words, and no shell
        (sys.executable, "-m", *words),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}"
