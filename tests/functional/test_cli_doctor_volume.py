"""doctor volume: what would end `volume` is found before it begins, and nothing is changed.

What this machine has too much of is taken away by a program that starts ours in a mount
namespace of its own: a file that is no program is mounted over one, or a tiny file system over
a directory.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.cloud import REGION, cloud_server
from tests.support.privileged import check_no_traces, require_root, traces
from tests.support.tools import (
    Outcome,
    check_refused,
    cli_environment,
    listing,
    require_tool,
    run_cli,
)
from tests.support.volumes import KEYS, make_tree

CLOSED = "http://127.0.0.1:9/"
"""Where nobody listens."""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    require_root()
    (tmp_path / "out").mkdir()
    tree = make_tree(tmp_path / "tree")
    files, before = listing(tmp_path), traces(tmp_path)
    yield tree
    check_no_traces(tmp_path, before)
    assert listing(tmp_path) == files


def doctor(
    tree: Path, *more: str | Path, wrapper: Sequence[str] = (), **variables: str
) -> tuple[Outcome, dict[str, list[dict[str, str]]]]:
    """What it found, by check."""
    words = ("doctor", "volume", "--volume", tree, "-d", tree.parent / "out", *KEYS, "--json")
    environment = cli_environment(**variables)
    outcome = run_cli(*words, *more, wrapper=wrapper, environment=environment)
    findings: dict[str, list[dict[str, str]]] = {}
    for one in json.loads(outcome.text)["findings"]:
        findings.setdefault(one["check"], []).append(one)
    return outcome, findings


def failed(findings: dict[str, list[dict[str, str]]]) -> list[str]:
    return [name for name, found in findings.items() if any(x["status"] == "fail" for x in found)]


def words_of(findings: dict[str, list[dict[str, str]]], check: str, status: str) -> str:
    return "\n".join(one["message"] for one in findings[check] if one["status"] == status)


def inside(command: str) -> Sequence[str]:
    """A program that does something in a mount namespace of its own before it runs another."""
    return ("unshare", "--mount", "sh", "-c", f'{command} && exec "$@"', "sh")


def without(program: str) -> Sequence[str]:
    return inside(f"mount --bind /dev/null {require_tool(program)}")


def test_all_that_a_good_volume_needs_is_told(tree: Path) -> None:
    (tree / "home/user/.netrc").write_text("machine example login me password x\n")
    try:
        outcome, findings = doctor(tree)
    finally:
        (tree / "home/user/.netrc").unlink()
    assert (outcome.code, failed(findings)) == (0, [])
    for check in ("root", "destination", "loop-devices", "volume", "image-programs", "room"):
        assert [one["status"] for one in findings[check]] == ["ok"], check
    assert "mke2fs" in words_of(findings, "image-programs", "ok")
    assert words_of(findings, "architecture", "ok").startswith("x86_64")
    assert "/home/user/.netrc" in words_of(findings, "secrets", "warn")
    assert "no partition table" in words_of(findings, "boot-loader", "warn")
    assert findings["keys"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("more", "wrapper", "variables", "code", "checks"),
    [
        (("--partition", "gpt"), (), {}, 5, ["boot-loader"]),
        (("--script", "/nowhere"), (), {}, 2, ["options"]),
        (("--snapshot", "btrfs"), (), {}, 2, ["consistency"]),
        (("--freeze",), (), {}, 2, ["consistency"]),
        (("--clone-only", "s3://images/x"), (), {}, 2, ["destination"]),
        (
            ("--inherit",),
            (),
            {
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": CLOSED,
            },
            7,
            ["metadata"],
        ),
        ((), "rsync", {}, 5, ["programs"]),
        (
            ("--partition", "gpt", "--firmware", "uefi"),
            "mcopy",
            {},
            5,
            ["boot-loader", "image-programs"],
        ),
    ],
)
def test_what_would_end_the_work(
    tree: Path,
    more: tuple[str, ...],
    wrapper: str | tuple[str, ...],
    variables: dict[str, str],
    code: int,
    checks: list[str],
) -> None:
    program = without(wrapper) if isinstance(wrapper, str) else wrapper
    outcome, findings = doctor(tree, *more, wrapper=program, **variables)
    assert (outcome.code, failed(findings)) == (code, checks)


def test_secrets_end_it_if_none_may_be(tree: Path) -> None:
    (tree / "home/user/.netrc").write_text("machine example login me password x\n")
    try:
        outcome, findings = doctor(tree, "--fail-on-secrets")
    finally:
        (tree / "home/user/.netrc").unlink()
    assert (outcome.code, failed(findings)) == (4, ["secrets"])


def test_a_full_disk_ends_it_unless_nobody_cares(tree: Path) -> None:
    wrapper = inside(f"mount -t tmpfs -o size=2m tmpfs {tree.parent / 'out'}")
    outcome, findings = doctor(tree, wrapper=wrapper)
    assert (outcome.code, failed(findings)) == (8, ["room"])
    outcome, findings = doctor(tree, "--no-space-check", wrapper=wrapper)
    assert (outcome.code, failed(findings)) == (0, [])
    assert "bytes free" in words_of(findings, "room", "warn")


def test_without_root_a_tree_can_be_imaged_and_the_running_volume_not(tree: Path) -> None:
    wrapper = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", "--")
    outcome, findings = doctor(tree, wrapper=wrapper)
    assert (outcome.code, failed(findings)) == (0, [])
    assert "may not mount" in words_of(findings, "root", "warn")
    assert "loop-devices" not in findings
    outcome, findings = doctor(tree, "--volume", "/", wrapper=wrapper)
    assert (outcome.code, failed(findings)) == (8, ["root"])
    assert findings["volume"][0]["status"] == "skip"


def test_the_bucket_and_the_ami_are_looked_at_as_for_publish(
    tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with cloud_server(monkeypatch, tmp_path_factory.mktemp("cloud")) as server:
        words = ("doctor", "volume", "s3://images/web", "--volume", tree, *KEYS, "--json")
        cloud = ("--ami-name", "web 1", "--endpoint-url", server.url, "--region", REGION)
        options = (*cloud, "--state-dir", tree.parent / "out")
        environment = cli_environment(**server.credentials, TMPDIR=str(tree.parent / "out"))
        outcome = run_cli(*words, *options, environment=environment)
    findings = {one["check"]: one["status"] for one in json.loads(outcome.text)["findings"]}
    assert outcome.code == 0, outcome.text
    assert findings["destination"] == findings["ami-name"] == findings["registration"] == "ok"
    assert findings["bucket"] in ("ok", "warn")
    assert {"identity", "clock", "bundle", "probe", "instance-types"} <= findings.keys()


def test_volume_stands_directly_behind_doctor(tree: Path) -> None:
    check_refused(run_cli("doctor", "--region", REGION, "volume"), 2, "directly behind doctor")
    outcome = run_cli("doctor", "volume", "--volume", tree, "no-url")
    check_refused(outcome, 2, "expected one s3:// URL")
