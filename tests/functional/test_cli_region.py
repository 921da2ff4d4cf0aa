"""A region that is not the bucket's: nothing may be deleted, or believed unused, by mistake."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.errors import AwsRefusedError
from bundler.model.image import ImageLocation
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY
from tests.support.cloud import (
    REGION,
    CloudServer,
    Reply,
    cloud_server,
    error_reply,
    open_store,
)
from tests.support.faults import Request
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.stored import stored_objects
from tests.support.tools import Outcome, check_refused, cli_environment

URL = "s3://images/web/root.img.manifest.xml"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """A cloud with an AMI, and its bundle, in REGION."""
    image = tmp_path / "root.img"
    image.write_bytes(random_bytes(50_000, 1))
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    with cloud_server(monkeypatch, tmp_path) as running:
        words = ["--name", "web 1", "--state-dir", tmp_path / "state", *keys]
        assert run(running, "publish", image, "s3://images/web", *words).code == 0
        yield running


def run(server: CloudServer, *words: str | Path, region: str = REGION) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", region)
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def test_delete_asks_no_ec2_of_another_region(server: CloudServer) -> None:
    before = stored_objects(server, "images", "web/")
    check_refused(run(server, "delete", URL, "--yes"), 2, "it is needed by AMIs")
    refused = run(server, "delete", URL, "--yes", region="us-east-1")
    check_refused(refused, 6, f"expected it in us-east-1, got {REGION}")
    assert stored_objects(server, "images", "web/") == before


def test_delete_by_an_access_point_cannot_ask_ec2(server: CloudServer) -> None:
    url = "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/images/web/root.img.manifest.xml"
    check_refused(run(server, "delete", url, "--yes"), 2, "name the bucket, or give --no-ami-check")


def test_ls_does_not_call_a_bundle_unused_by_another_region(server: CloudServer) -> None:
    (bundle,) = json.loads(run(server, "ls", "s3://images", "--json").text)["bundles"]
    assert len(bundle["amis"]) == 1
    outcome = run(server, "ls", "s3://images", "--json", region="us-east-1")
    (bundle,) = json.loads(outcome.text)["bundles"]
    assert bundle["amis"] is None
    assert "which AMIs are registered is not known" in outcome.errors


def test_no_redirect_is_followed(server: CloudServer) -> None:
    moved = error_reply("301 Moved Permanently", "PermanentRedirect")
    headers = (*moved.headers, ("x-amz-bucket-region", "us-west-2"))
    reply = Reply(status=moved.status, body=moved.body, headers=headers)

    def intercept(request: Request) -> Reply | None:
        return reply if "/us-west-2/" not in request.headers["authorization"] else None

    server.requests.clear()
    server.intercept = intercept
    store = open_store(server, ImageLocation(bucket="images", key="web"))
    with pytest.raises(AwsRefusedError, match="the bucket is in us-west-2: give that region"):
        store.read("root.img.manifest.xml", limit=100_000)
    with pytest.raises(AwsRefusedError, match="the bucket is in us-west-2"):
        store.delete(["root.img.manifest.xml"])
    assert len(server.requests) == 2
