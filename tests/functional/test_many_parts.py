"""Ten thousand parts, there and back: no listing, batch or memory may end before them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import USER_CERT, USER_KEY, bundle
from tests.support.cloud import REGION, CloudServer, cloud_server, make_bucket
from tests.support.images import random_bytes
from tests.support.stored import read_files, sent_parts
from tests.support.tools import Outcome, cli_argv, cli_environment, run_program

PART_COUNT = 10_000
PART_SIZE = 1024
URL = "s3://images/many/root.img.manifest.xml"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images")
        yield running


def run(server: CloudServer, *words: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION)
    environment = cli_environment(**server.credentials)
    outcome = run_program(*cli_argv(*words, *options), environment=environment, timeout=600.0)
    assert outcome.code == 0, outcome.errors
    return outcome


@pytest.mark.slow
def test_ten_thousand_parts(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    image.write_bytes(random_bytes(PART_COUNT * PART_SIZE, 1))
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    upload = ("upload", manifest, "s3://images/many", "--acl", "none", "--json")
    facts = json.loads(run(server, *upload).text)
    assert facts["part_count"] > PART_COUNT
    assert facts["transferred_count"] == facts["part_count"] + 1
    server.requests.clear()
    again = json.loads(run(server, *upload).text)
    assert again["held_count"] == facts["part_count"] + 1
    assert sent_parts(server) == []
    verified = json.loads(run(server, "verify", URL, "--cert", USER_CERT, "--json").text)
    assert len(verified["parts"]) == facts["part_count"]
    assert verified["by_size_only_count"] == 0
    (listed,) = json.loads(run(server, "ls", "s3://images/many", "--json").text)["bundles"]
    assert listed["state"] == "complete"
    out = tmp_path / "out"
    out.mkdir()
    run(server, "download", URL, "-d", out)
    assert read_files(out) == read_files(manifest.parent)
    back = tmp_path / "back.img"
    run(server, "unbundle", URL, "--key", USER_KEY, "--cert", USER_CERT, "-o", back)
    assert back.read_bytes() == image.read_bytes()
    run(server, "delete", URL, "--yes")
    assert json.loads(run(server, "ls", "s3://images/many", "--json").text)["bundles"] == []
