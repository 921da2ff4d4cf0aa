"""The bucket, and reading and removing objects, over HTTP."""

import base64
import socket
import time
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest

from bundler.aws.s3 import READ_ATTEMPTS, S3BundleStore
from bundler.aws.session import Cloud
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from tests.support.cloud import (
    REGION,
    CloudServer,
    Reply,
    cloud_server,
    error_reply,
    put_object,
    s3_client,
)

LOCATION = ImageLocation(bucket="images", key="web/2026")


PATIENCE = 20.0
"""Seconds after which a test that waits for a thread has failed."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    """A store whose bucket is there."""
    store = S3BundleStore(s3_client(server), LOCATION)
    store.prepare()
    server.requests.clear()
    return store


@pytest.mark.parametrize(
    ("region", "constraint"), [("eu-west-1", "eu-west-1"), ("us-east-1", None)]
)
@pytest.mark.parametrize(("acl", "owner"), [("aws-exec-read", "BucketOwnerPreferred"), ("", None)])
def test_a_missing_bucket_is_created_in_the_region(
    server: CloudServer, region: str, constraint: str | None, acl: str, owner: str | None
) -> None:
    client = s3_client(server, region=region)
    store = S3BundleStore(client, LOCATION, acl=acl)
    assert store.location == LOCATION
    store.prepare()
    (request,) = server.find("PUT", "/images")
    assert request.headers.get("x-amz-object-ownership") == owner
    assert "x-amz-acl" not in request.headers
    assert client.get_bucket_location(Bucket="images").get("LocationConstraint") == constraint
    store.prepare()
    assert len(server.find("PUT", "/images")) == 1


def test_a_bucket_of_another_region_is_refused_and_the_region_named(server: CloudServer) -> None:
    S3BundleStore(s3_client(server, region="us-west-2"), LOCATION).prepare()
    with pytest.raises(AwsRefusedError, match="expected it in eu-west-1, got us-west-2"):
        S3BundleStore(s3_client(server), LOCATION).prepare()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status="403 Forbidden"), "look at s3://images: Forbidden.*policy, must allow"),
        (
            Reply(status="301 Moved", headers=(("x-amz-bucket-region", "us-west-2"),)),
            "the bucket is in us-west-2",
        ),
    ],
)
def test_a_bucket_that_cannot_be_used_is_refused(
    server: CloudServer, reply: Reply, words: str
) -> None:
    server.intercept = lambda request: reply if request.method == "HEAD" else None
    with pytest.raises(AwsRefusedError, match=words):
        S3BundleStore(s3_client(server), LOCATION).prepare()
    assert not server.find("PUT", "/images")


def test_a_bucket_that_takes_no_acl_is_refused_before_anything_is_sent(server: CloudServer) -> None:
    client = s3_client(server)
    S3BundleStore(client, LOCATION).prepare()
    client.put_bucket_ownership_controls(
        Bucket="images",
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    with pytest.raises(AwsRefusedError, match="takes no ACL; EC2 reads bundles") as caught:
        S3BundleStore(client, LOCATION).prepare()
    assert caught.value.code == "AccessControlListNotSupported"
    S3BundleStore(client, LOCATION, acl="none").prepare()


@pytest.mark.parametrize("status", ["403 Forbidden", "501 Not Implemented"])
def test_object_ownership_need_not_be_known(server: CloudServer, status: str) -> None:
    S3BundleStore(s3_client(server), LOCATION).prepare()
    reply = error_reply(status, "NotImplemented" if status.startswith("501") else "AccessDenied")
    server.intercept = lambda request: reply if "ownershipControls" in request.query else None
    S3BundleStore(s3_client(server), LOCATION).prepare()
    assert server.find("GET", "/images", "ownershipControls")


def test_a_bucket_that_another_process_created_meanwhile_is_used(server: CloudServer) -> None:
    S3BundleStore(s3_client(server), LOCATION).prepare()
    missing = Reply(status="404 Not Found")
    server.intercept = lambda request: missing if request.method == "HEAD" else None
    S3BundleStore(s3_client(server), LOCATION).prepare()
    assert len(server.find("PUT", "/images")) == 2


def test_a_bucket_name_that_is_taken_is_refused(server: CloudServer) -> None:
    taken = error_reply("409 Conflict", "BucketAlreadyExists")
    server.intercept = lambda request: taken if request.method == "PUT" else None
    with pytest.raises(AwsRefusedError, match=r"create s3://images in eu-west-1.*worldwide"):
        S3BundleStore(s3_client(server), LOCATION).prepare()


def test_a_server_that_is_not_there_is_a_transfer_error_soon(server: CloudServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Cloud.open(region=REGION, endpoint_url=url, attempts=2).s3()
        store = S3BundleStore(client, LOCATION)
        began = time.monotonic()
        with pytest.raises(TransferError, match="look at s3://images: Could not connect"):
            store.prepare()
        put_object(store, "name", b"content")
        with pytest.raises(TransferError, match="put s3://images/web/2026/name: Could not connect"):
            store.flush()
        assert time.monotonic() - began < PATIENCE


def test_get_gives_bounded_chunks(store: S3BundleStore) -> None:
    content = Random(1).randbytes(2 * MIB + 1)
    put_object(store, "name", content)
    store.flush()
    chunks = list(store.get("name"))
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= MIB


@pytest.mark.parametrize(
    ("bucket", "code"), [("images", "NoSuchKey"), ("no-such-bucket", "NoSuchBucket")]
)
def test_get_of_what_is_not_there(
    server: CloudServer, store: S3BundleStore, bucket: str, code: str
) -> None:
    elsewhere = S3BundleStore(s3_client(server), ImageLocation(bucket=bucket, key="web"))
    chunks = elsewhere.get("name")
    with pytest.raises(AwsRefusedError, match=f"get s3://{bucket}/web/name: ") as caught:
        next(chunks)
    assert caught.value.code == code


ETAG = ("ETag", '"1"')


def test_a_stream_that_breaks_is_taken_up_where_it_ended(
    server: CloudServer, store: S3BundleStore
) -> None:
    content = Random(1).randbytes(3000)
    replies = [
        Reply(status="200 OK", body=content[:1000], headers=(ETAG,), length=3000),
        Reply(status="206 Partial Content", headers=(ETAG, part_range(1000, 3000)), length=2000),
        Reply(
            status="206 Partial Content",
            body=content[1000:],
            headers=(ETAG, part_range(1000, 3000)),
        ),
    ]
    server.intercept = lambda request: replies.pop(0)
    assert b"".join(store.get("name")) == content
    assert [request.headers.get("range") for request in server.requests] == [
        None,
        "bytes=1000-",
        "bytes=1000-",
    ]
    assert [request.headers.get("if-match") for request in server.requests] == [None, '"1"', '"1"']


def part_range(start: int, size: int) -> tuple[str, str]:
    return ("Content-Range", f"bytes {start}-{size - 1}/{size}")


def test_a_stream_that_always_breaks_is_a_transfer_error(
    server: CloudServer, store: S3BundleStore
) -> None:
    reply = Reply(status="200 OK", headers=(ETAG,), length=3000)
    server.intercept = lambda request: reply
    with pytest.raises(TransferError, match="get s3://images/web/2026/name: "):
        list(store.get("name"))
    assert len(server.requests) == READ_ATTEMPTS


def test_an_object_that_changes_while_it_is_read_is_refused(
    server: CloudServer, store: S3BundleStore
) -> None:
    replies = [
        Reply(status="200 OK", body=b"a" * 1000, headers=(ETAG,), length=3000),
        error_reply("412 Precondition Failed", "PreconditionFailed"),
    ]
    server.intercept = lambda request: replies.pop(0)
    with pytest.raises(AwsRefusedError, match="changed while it was read"):
        list(store.get("name"))


def test_a_server_that_cannot_go_on_is_a_transfer_error(
    server: CloudServer, store: S3BundleStore
) -> None:
    reply = Reply(status="200 OK", body=b"a" * 1000, headers=(ETAG,), length=3000)
    server.intercept = lambda request: reply
    with pytest.raises(TransferError, match="the server cannot go on at 1000"):
        list(store.get("name"))


def test_an_object_that_was_damaged_on_the_way_is_a_transfer_error(
    server: CloudServer, store: S3BundleStore
) -> None:
    digest = base64.b64encode(sha1(b"other", usedforsecurity=False).digest()).decode()
    headers = (ETAG, ("x-amz-checksum-sha1", digest))
    server.intercept = lambda request: Reply(status="200 OK", body=b"content", headers=headers)
    with pytest.raises(TransferError, match="damaged on the way or in S3"):
        list(store.get("name"))


def test_delete_removes_an_object_and_asks_not_whether_it_is_there(store: S3BundleStore) -> None:
    put_object(store, "name", b"content")
    store.flush()
    store.delete("name")
    store.delete("name")
    with pytest.raises(AwsRefusedError, match="NoSuchKey"):
        list(store.get("name"))


def test_delete_that_is_refused(server: CloudServer, store: S3BundleStore) -> None:
    denied = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: denied if request.method == "DELETE" else None
    with pytest.raises(AwsRefusedError, match="s3://images/web/2026/name: It is so"):
        store.delete("name")
