"""Where a command's result and its words go, and what happens when they cannot go there."""

import json
from pathlib import Path

import pytest

from tests.support.bundles import VECTORS, bundle_arguments
from tests.support.tools import check_refused, cli_argv, cli_environment, run_cli, run_program

MANIFEST = VECTORS / "plain" / "tiny.img.manifest.xml"
MISSING, HOST = 5, 8
"""Exit codes."""


def run_in_shell(command: str, *arguments: str | Path) -> tuple[int, bytes, str]:
    """Run our command line as "$@" of a shell's command."""
    outcome = run_program(
        *("sh", "-c", command, "sh", *cli_argv(*arguments)), environment=cli_environment()
    )
    return outcome.code, outcome.output, outcome.errors


def test_the_result_cannot_be_written() -> None:
    code, _, errors = run_in_shell('"$@" > /dev/full', "inspect", MANIFEST)
    assert (code, errors) == (
        HOST,
        "ami-bundler: print the result: No space left on device\n",
    )


def test_nobody_reads_the_result() -> None:
    code, _, errors = run_in_shell('("$@"; echo $? >&2) | :', "inspect", MANIFEST, "--json")
    assert (code, errors) in ((0, "141\n"), (0, "0\n"))


def test_streams_that_are_closed() -> None:
    assert run_in_shell('"$@" >&-', "inspect", MANIFEST) == (0, b"", "")
    assert run_in_shell('"$@" 2>&-', "inspect", "/nonexistent") == (MISSING, b"", "")
    code, output, _ = run_in_shell('"$@" <&-', "inspect", MANIFEST)
    assert (code, output[:8]) == (0, b"version:")


def test_the_result_alone_is_on_stdout(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    arguments = bundle_arguments(tmp_path / "image", tmp_path)
    outcome = run_cli(*arguments)
    assert outcome.text == f"{tmp_path}/image.manifest.xml\n"
    facts = json.loads(run_cli(*arguments, "--force", "--json").output)
    assert facts["manifest"] == f"{tmp_path}/image.manifest.xml"
    assert (facts["size"], facts["part_count"], facts["data_size"]) == (5, 1, 5)
    for more in ("--quiet", "-v", "-vv"):
        again = run_cli(*arguments, "--force", more)
        assert again.text == outcome.text


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["image", "--help"]])
def test_help(words: list[str]) -> None:
    outcome = run_cli(*words)
    assert (outcome.code, outcome.errors) == (0, "")
    assert "ami-bundler" in outcome.text


def test_a_user_without_a_name_makes_a_key(tmp_path: Path) -> None:
    """As in a container that runs as any number."""
    wrapper = ["unshare", "--user", "--map-user=54321"]
    if run_program(*wrapper, "true").code:
        pytest.skip("may not run as another user")
    outcome = run_cli("keygen", wrapper=wrapper, directory=tmp_path)
    assert outcome.code == 0, outcome.errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cert.pem", "pk.pem"]


def test_an_error_leaves_stdout_empty(tmp_path: Path) -> None:
    check_refused(run_cli("inspect", tmp_path / "x", "--json"), MISSING, "No such file")
