"""The bucket over HTTP: looked at, created, and refused before anything is sent."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.aws.bucket import S3Bucket
from bundler.errors import AwsRefusedError, TransferError
from tests.support.cloud import (
    REGION,
    CloudServer,
    Reply,
    cloud_server,
    error_reply,
    open_cloud,
    s3_client,
)
from tests.support.faults import Request

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def bucket_of(server: CloudServer, *, region: str = REGION) -> S3Bucket:
    cloud = open_cloud(server, region=region)
    return S3Bucket(cloud.s3(), "images", cloud.transport)


@pytest.mark.parametrize(
    ("region", "constraint"), [("eu-west-1", "eu-west-1"), ("us-east-1", None)]
)
@pytest.mark.parametrize(
    ("acl", "ownership"), [("aws-exec-read", "BucketOwnerPreferred"), ("", "BucketOwnerEnforced")]
)
def test_a_missing_bucket_is_created_right(
    server: CloudServer, region: str, constraint: str | None, acl: str, ownership: str
) -> None:
    client = s3_client(server, region=region)
    bucket = bucket_of(server, region=region)
    bucket.prepare(acl=acl, tags={"team": "web"})
    request = server.find("PUT", "/images")[0]
    assert request.headers["x-amz-object-ownership"] == ownership
    assert "x-amz-acl" not in request.headers
    assert client.get_bucket_location(Bucket="images").get("LocationConstraint") == constraint
    assert client.get_public_access_block(Bucket="images")["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket.encryption() == "AES256"
    tags = client.get_bucket_tagging(Bucket="images")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "created-by": "ami-bundler",
        "team": "web",
    }
    count = len(server.find("PUT", "/images"))
    bucket.prepare(acl=acl)
    assert len(server.find("PUT", "/images")) == count


def test_a_bucket_for_public_objects_does_not_block_their_acl(server: CloudServer) -> None:
    bucket = bucket_of(server)
    bucket.prepare(acl="public-read")
    assert not bucket.blocks_public_acls()
    bucket.prepare(acl="public-read")


def test_what_a_server_does_not_know_of_a_new_bucket_is_left_out(server: CloudServer) -> None:
    unknown = error_reply("501 Not Implemented", "NotImplemented")

    def intercept(request: Request) -> Reply | None:
        return unknown if request.method == "PUT" and request.query else None

    server.intercept = intercept
    bucket_of(server).prepare(acl="")
    assert len([request for request in server.requests if request.method == "PUT"]) == 4


def test_what_may_not_be_set_on_a_new_bucket_is_a_warning(
    server: CloudServer, caplog: pytest.LogCaptureFixture
) -> None:
    denied = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: denied if "encryption" in request.query else None
    bucket_of(server).prepare(acl="")
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "encrypt s3://images: It is so" in record.message


def test_a_bucket_of_another_region_is_refused_and_the_region_named(server: CloudServer) -> None:
    bucket_of(server, region="us-west-2").prepare(acl="")
    with pytest.raises(AwsRefusedError, match="expected it in eu-west-1, got us-west-2"):
        bucket_of(server).prepare(acl="")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status="403 Forbidden"), "look at s3://images: Forbidden.*policy, must allow"),
        (
            Reply(status="301 Moved", headers=(("x-amz-bucket-region", "us-west-2"),)),
            "the bucket is in us-west-2",
        ),
        (
            Reply(
                status="400 Bad Request",
                headers=(("x-amz-bucket-region", "us-west-2"), ("Content-Type", "text/xml")),
            ),
            "check the region",
        ),
    ],
)
def test_a_bucket_that_cannot_be_used_is_refused(
    server: CloudServer, reply: Reply, words: str
) -> None:
    server.intercept = lambda request: reply if request.method == "HEAD" else None
    with pytest.raises(AwsRefusedError, match=words):
        bucket_of(server).prepare(acl="")
    assert not server.find("PUT", "/images")


def test_a_bucket_that_takes_no_acl_is_refused_before_anything_is_sent(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="")
    with pytest.raises(AwsRefusedError, match=r"BucketOwnerEnforced.*--enable-acls") as caught:
        bucket_of(server).prepare(acl="aws-exec-read")
    assert caught.value.code == "AccessControlListNotSupported"
    assert bucket_of(server).ownership() == "BucketOwnerEnforced"
    bucket_of(server).prepare(acl="")


def test_acls_are_enabled_when_asked_for(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="")
    bucket_of(server).prepare(acl="aws-exec-read", enable_acls=True)
    assert bucket_of(server).ownership() == "BucketOwnerPreferred"
    bucket_of(server).prepare(acl="aws-exec-read")


def test_acls_of_somebody_elses_bucket_cannot_be_enabled(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="")
    denied = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: denied if request.method == "PUT" else None
    with pytest.raises(AwsRefusedError, match="enable ACLs in s3://images: It is so"):
        bucket_of(server).prepare(acl="aws-exec-read", enable_acls=True)


def test_public_objects_in_a_bucket_that_blocks_them_are_refused(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="aws-exec-read")
    with pytest.raises(AwsRefusedError, match="blocks public access, so it takes no such ACL"):
        bucket_of(server).prepare(acl="public-read")


@pytest.mark.parametrize("status", ["403 Forbidden", "501 Not Implemented"])
def test_object_ownership_need_not_be_known(server: CloudServer, status: str) -> None:
    bucket_of(server).prepare(acl="aws-exec-read")
    reply = error_reply(status, "NotImplemented" if status.startswith("501") else "AccessDenied")
    server.intercept = lambda request: reply if "ownershipControls" in request.query else None
    bucket_of(server).prepare(acl="aws-exec-read")
    assert server.find("GET", "/images", "ownershipControls")


def test_a_bucket_that_another_process_created_meanwhile_is_used(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="")
    missing = Reply(status="404 Not Found")
    server.intercept = lambda request: missing if request.method == "HEAD" else None
    bucket_of(server).prepare(acl="")


def test_a_bucket_name_that_is_taken_is_refused(server: CloudServer) -> None:
    taken = error_reply("409 Conflict", "BucketAlreadyExists")
    server.intercept = lambda request: taken if request.method == "PUT" else None
    with pytest.raises(AwsRefusedError, match=r"create s3://images in eu-west-1.*worldwide"):
        bucket_of(server).prepare(acl="")


def test_versioning(server: CloudServer) -> None:
    bucket_of(server).prepare(acl="")
    assert not bucket_of(server).is_versioned()
    s3_client(server).put_bucket_versioning(
        Bucket="images", VersioningConfiguration={"Status": "Enabled"}
    )
    assert bucket_of(server).is_versioned()


def test_a_server_that_is_not_there_is_a_transfer_error_soon(server: CloudServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(TransferError, match=r"look at s3://images: Could not connect.*tried 2"):
            bucket_of(server).prepare(acl="")
        assert time.monotonic() - began < PATIENCE
