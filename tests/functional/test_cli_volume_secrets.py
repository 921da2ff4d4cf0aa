"""Secrets on a volume: none is in the image, and what only looks like one is."""

import json
from pathlib import Path

import pytest

from tests.support.privileged import require_root
from tests.support.secrets import LOOK_ALIKES, SECRETS, seed_tree
from tests.support.tools import check_refused
from tests.support.volumes import describe_image, run_volume


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_root()
    for name in ("out", "place"):
        (tmp_path / name).mkdir()
    return seed_tree(tmp_path / "tree")


def names_in(tree: Path, *more: str | Path) -> set[str]:
    """Image the tree; the files of the image."""
    out = tree.parent / "out"
    words = ("--volume", tree, "-d", out, "--clone-only", "--force", *more)
    outcome = run_volume(*words)
    assert outcome.code == 0, outcome.errors
    return {name.strip("'") for name in describe_image(out / "image", tree.parent / "place")}


def test_there_are_thirty_of_each() -> None:
    assert min(len(SECRETS), len(LOOK_ALIKES)) >= 30


def test_no_secret_is_in_the_image_and_all_look_alikes_are(tree: Path) -> None:
    found = names_in(tree)
    assert sorted(SECRETS.keys() & found) == []
    assert sorted(LOOK_ALIKES.keys() - found) == []
    image = (tree.parent / "out/image").read_bytes()
    keys = [data for data in SECRETS.values() if len(data) > 200 and b"A" * 20 not in data]
    assert len(keys) > 10
    assert [data for data in keys if data[60:160] in image] == []
    report = json.loads((tree.parent / "out/image.report.json").read_text())
    told = [one["path"].strip("/") for one in report["left_out"]["files"]]
    missing = [name for name in SECRETS if not any(name.startswith(one) for one in told)]
    assert missing == []
    assert [one["path"] for one in report["suspicious"]["files"]] == ["/srv/certificates.p12"]


def test_without_the_filter_all_is_copied(tree: Path) -> None:
    assert sorted((SECRETS | LOOK_ALIKES).keys() - names_in(tree, "--no-filter")) == []


def test_what_is_included_comes_back_and_is_told(tree: Path) -> None:
    includes = ("--include", "/root/.netrc", "/srv/key.der")
    found = names_in(tree, *includes, "--exclude", "/srv", "moduli")
    assert SECRETS.keys() & found == {"root/.netrc", "srv/key.der"}
    assert not {name for name in found if name.startswith("srv/app") or name.endswith("moduli")}
    report = (tree.parent / "out/image.report.txt").read_text()
    assert "/root/.netrc: credentials; kept by --include" in report


def test_pipelines_may_refuse(tree: Path) -> None:
    out = tree.parent / "out"
    words = ("--volume", tree, "-d", out, "--clone-only", "--fail-on-secrets")
    check_refused(run_volume(*words), 4, r"look for secrets: expected none, got \d+: /")
    assert list(out.iterdir()) == []
