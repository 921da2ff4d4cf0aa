"""The S3 bundle store over HTTP, against moto."""

import base64
import io
import socket
import threading
import time
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

import pytest
from s3transfer.manager import TransferConfig

from bundler.aws.s3 import READ_ATTEMPTS, S3BundleStore
from bundler.aws.session import Cloud
from bundler.errors import AwsRefusedError, HostError, TransferError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from tests.support.cloud import REGION, CloudServer, Reply, Request, cloud_server, error_reply

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOCATION = ImageLocation(bucket="images", key="web/2026")

SMALL = TransferConfig(
    multipart_threshold=6 * MIB,
    multipart_chunksize=5 * MIB,
    max_request_concurrency=4,
    max_submission_concurrency=1,
)
"""Multipart uploads already of 6 MiB; S3 takes no piece below 5."""

PATIENCE = 20.0
"""Seconds after which a test that waits for a thread has failed."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def client_of(server: CloudServer, *, region: str = REGION, attempts: int = 2) -> "S3Client":
    return Cloud.open(region=region, endpoint_url=server.url, attempts=attempts).s3()


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    """A store whose bucket is there."""
    store = S3BundleStore(client_of(server), LOCATION, config=SMALL)
    store.prepare()
    server.requests.clear()
    return store


def content_of(size: int) -> bytes:
    return Random(size).randbytes(size)


def put(store: S3BundleStore, name: str, content: bytes, body: BinaryIO | None = None) -> None:
    digest = sha1(content, usedforsecurity=False).digest()
    store.put(name, body or io.BytesIO(content), sha1=digest)


class Body(io.BytesIO):
    """A body that counts itself among the open ones, and can break."""

    open_count = 0
    most_open = 0

    def __init__(self, content: bytes, *, reads_until_broken: int = 1_000_000) -> None:
        super().__init__(content)
        self.reads_until_broken = reads_until_broken
        Body.open_count += 1
        Body.most_open = max(Body.most_open, Body.open_count)

    def read(self, size: int | None = -1) -> bytes:
        self.reads_until_broken -= 1
        if self.reads_until_broken < 0:
            raise OSError(5, "Input/output error")
        return super().read(size)

    def close(self) -> None:
        if not self.closed:
            Body.open_count -= 1
        super().close()


@pytest.fixture(autouse=True)
def _no_bodies() -> None:
    Body.open_count = Body.most_open = 0


# Sending.


@pytest.mark.parametrize("size", [0, 1, 6 * MIB - 1])
def test_a_small_object_is_one_put_with_its_sha1(
    server: CloudServer, store: S3BundleStore, size: int
) -> None:
    content = content_of(size)
    put(store, "web.part.0", content)
    store.flush()
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", "/images/web/2026/web.part.0")
    headers = {
        name: value
        for name, value in request.headers.items()
        if name in ("x-amz-acl", "content-md5") or "checksum" in name or "trailer" in name
    }
    digest = sha1(content, usedforsecurity=False).digest()
    assert headers == {
        "x-amz-acl": "aws-exec-read",
        "x-amz-checksum-sha1": base64.b64encode(digest).decode(),
    }
    assert b"".join(store.get("web.part.0")) == content


@pytest.mark.parametrize("size", [6 * MIB, 10 * MIB, 10 * MIB + 1])
def test_a_big_object_goes_in_pieces_with_a_crc32_of_the_whole(
    server: CloudServer, store: S3BundleStore, size: int
) -> None:
    content = content_of(size)
    body = Body(content)
    put(store, "web.part.0", content, body)
    store.flush()
    path = "/images/web/2026/web.part.0"
    (create,) = server.find("POST", path, "uploads")
    assert create.headers["x-amz-acl"] == "aws-exec-read"
    assert create.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert create.headers["x-amz-checksum-algorithm"] == "CRC32"
    pieces = server.find("PUT", path, "partNumber=")
    assert len(pieces) == -(-size // (5 * MIB))
    assert all("x-amz-checksum-crc32" in piece.headers for piece in pieces)
    (complete,) = server.find("POST", path, "uploadId=")
    checksum = base64.b64encode(crc32(content).to_bytes(4, "big")).decode()
    assert complete.headers["x-amz-checksum-crc32"] == checksum
    assert body.closed
    assert b"".join(store.get("web.part.0")) == content


@pytest.mark.parametrize("acl", ["", "none"])
@pytest.mark.parametrize("size", [1, 6 * MIB])
def test_no_acl_is_sent_when_none_is_asked_for(server: CloudServer, acl: str, size: int) -> None:
    store = S3BundleStore(client_of(server), LOCATION, acl=acl, config=SMALL)
    store.prepare()
    put(store, "web.part.0", content_of(size))
    store.flush()
    assert not [request for request in server.requests if "x-amz-acl" in request.headers]
    assert not server.find("GET", "/images", "ownershipControls")


def test_progress_tells_every_byte(server: CloudServer) -> None:
    sent: list[int] = []
    store = S3BundleStore(client_of(server), LOCATION, config=SMALL, progress=sent.append)
    store.prepare()
    for name, size in (("a", 1000), ("b", 6 * MIB)):
        put(store, name, content_of(size))
    store.flush()
    assert sum(sent) == 1000 + 6 * MIB


def test_the_body_is_sent_from_its_start(store: S3BundleStore) -> None:
    body = Body(b"content")
    body.seek(3)
    put(store, "name", b"content", body)
    store.flush()
    assert b"".join(store.get("name")) == b"content"
    assert body.closed


def test_a_store_goes_on_after_flush(store: S3BundleStore) -> None:
    for name in ("part", "manifest"):
        put(store, name, name.encode())
        store.flush()
    store.flush()
    assert b"".join(store.get("manifest")) == b"manifest"


class Gate:
    """Holds all requests of one method until it is opened."""

    def __init__(self, method: str = "PUT") -> None:
        self._method = method
        self._open = threading.Event()
        self.waiting = threading.Semaphore(0)

    def __call__(self, request: Request) -> None:
        if request.method == self._method:
            self.waiting.release()
            assert self._open.wait(PATIENCE)

    def open(self) -> None:
        self._open.set()


def test_put_waits_while_too_many_are_on_their_way(server: CloudServer) -> None:
    store = S3BundleStore(client_of(server), LOCATION, max_in_flight=3)
    store.prepare()
    gate = Gate()
    server.intercept = gate
    done = threading.Event()

    def send() -> None:
        for index in range(10):
            put(store, f"part.{index}", b"content", Body(b"content"))
        store.flush()
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            assert gate.waiting.acquire(timeout=PATIENCE)
        # The fourth is made, and waits in put().
        assert not gate.waiting.acquire(timeout=0.2)
        assert not done.is_set()
        assert Body.open_count == 4
    finally:
        gate.open()
        sender.join(PATIENCE)
    assert done.is_set()
    assert Body.open_count == 0
    assert Body.most_open == 4
    assert len(server.find("PUT", "/images/web/2026/part.9")) == 1


def refuse(name: str, reply: Reply, server: CloudServer) -> None:
    path = f"/images/web/2026/{name}"
    server.intercept = lambda request: reply if request.path == path else None


def test_flush_raises_the_first_failure_and_the_store_is_over(
    server: CloudServer, store: S3BundleStore
) -> None:
    refuse("bad", error_reply("403 Forbidden", "AccessDenied"), server)
    bodies = [Body(b"content") for _ in range(3)]
    for name, body in zip(("good", "bad", "other"), bodies, strict=True):
        put(store, name, b"content", body)
    with pytest.raises(AwsRefusedError, match=r"put s3://images/web/2026/bad: It is so") as caught:
        store.flush()
    assert caught.value.code == "AccessDenied"
    late = Body(b"content")
    with pytest.raises(RuntimeError, match="one has failed"):
        put(store, "late", b"content", late)
    assert late.closed
    with pytest.raises(RuntimeError, match="one has failed"):
        store.flush()


def test_put_raises_the_failure_of_an_earlier_one(server: CloudServer) -> None:
    store = S3BundleStore(client_of(server), LOCATION, max_in_flight=1)
    store.prepare()
    refuse("bad", error_reply("400 Bad Request", "AccessControlListNotSupported"), server)
    put(store, "bad", b"content", Body(b"content"))
    with pytest.raises(AwsRefusedError, match=r"put s3://images/web/2026/bad.*BucketOwnerPreferred"):
        put(store, "next", b"content", Body(b"content"))
    assert Body.open_count == 0
    assert not server.find("PUT", "/images/web/2026/next")


@pytest.mark.parametrize(
    ("status", "code"), [("503 Slow Down", "SlowDown"), ("400 Bad Request", "BadDigest")]
)
def test_failures_of_the_service_are_transfer_errors(
    server: CloudServer, store: S3BundleStore, status: str, code: str
) -> None:
    refuse("bad", error_reply(status, code), server)
    put(store, "bad", b"content")
    with pytest.raises(TransferError, match=f"bad: It is so .{code}"):
        store.flush()


def test_a_request_that_fails_once_is_sent_again(server: CloudServer, store: S3BundleStore) -> None:
    replies = [error_reply("503 Slow Down", "SlowDown")]
    server.intercept = lambda request: replies.pop() if replies else None
    put(store, "name", b"content")
    store.flush()
    assert len(server.requests) == 2
    assert b"".join(store.get("name")) == b"content"


def test_a_failed_multipart_upload_is_aborted(server: CloudServer, store: S3BundleStore) -> None:
    failure = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: failure if "partNumber=2" in request.query else None
    body = Body(content_of(6 * MIB))
    put(store, "big", content_of(6 * MIB), body)
    with pytest.raises(AwsRefusedError, match="put s3://images/web/2026/big"):
        store.flush()
    assert body.closed
    assert len(server.find("DELETE", "/images/web/2026/big", "uploadId=")) == 1


@pytest.mark.parametrize("reads", [0, 1])
def test_a_body_that_cannot_be_read_is_this_machines_failure(
    server: CloudServer, store: S3BundleStore, reads: int
) -> None:
    # The first read is for the request's signature, the second for sending it.
    put(store, "part", b"content", Body(b"content", reads_until_broken=2 * reads))
    with pytest.raises(HostError, match=r"2026/part: cannot read what is to be sent.*Errno 5"):
        store.flush()
    assert Body.open_count == 0


# Giving up.


def test_cancel_returns_at_once_and_aborts_multipart_uploads(
    server: CloudServer, store: S3BundleStore
) -> None:
    gate, aborted = Gate(), threading.Event()

    def intercept(request: Request) -> None:
        if request.method == "DELETE":
            aborted.set()
        gate(request)

    server.intercept = intercept
    body = Body(content_of(6 * MIB))
    put(store, "big", content_of(6 * MIB), body)
    try:
        assert gate.waiting.acquire(timeout=PATIENCE)
        began = time.monotonic()
        store.cancel()
        assert time.monotonic() - began < 1
    finally:
        gate.open()
    assert aborted.wait(PATIENCE)
    assert not server.find("POST", "/images/web/2026/big", "uploadId=")
    store.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        store.flush()


def test_cancel_closes_what_was_not_begun(server: CloudServer) -> None:
    config = TransferConfig(max_request_concurrency=1, max_submission_concurrency=1)
    store = S3BundleStore(client_of(server), LOCATION, max_in_flight=8, config=config)
    store.prepare()
    gate = Gate()
    server.intercept = gate
    for index in range(5):
        put(store, f"part.{index}", b"content", Body(b"content"))
    try:
        assert gate.waiting.acquire(timeout=PATIENCE)
        store.cancel()
    finally:
        gate.open()
    deadline = time.monotonic() + PATIENCE
    while Body.open_count and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert Body.open_count == 0
    assert not server.find("PUT", "/images/web/2026/part.4")


# The bucket.


@pytest.mark.parametrize(
    ("region", "constraint"), [("eu-west-1", "eu-west-1"), ("us-east-1", None)]
)
@pytest.mark.parametrize(("acl", "owner"), [("aws-exec-read", "BucketOwnerPreferred"), ("", None)])
def test_a_missing_bucket_is_created_in_the_region(
    server: CloudServer, region: str, constraint: str | None, acl: str, owner: str | None
) -> None:
    client = client_of(server, region=region)
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
    S3BundleStore(client_of(server, region="us-west-2"), LOCATION).prepare()
    with pytest.raises(AwsRefusedError, match="expected it in eu-west-1, got us-west-2"):
        S3BundleStore(client_of(server), LOCATION).prepare()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status="403 Forbidden"), "look at s3://images: Forbidden.*policy must allow"),
        (
            Reply(status="301 Moved", headers=(("x-amz-bucket-region", "us-west-2"),)),
            "the bucket is in us-west-2|got us-west-2",
        ),
    ],
)
def test_a_bucket_that_cannot_be_used_is_refused(
    server: CloudServer, reply: Reply, words: str
) -> None:
    server.intercept = lambda request: reply if request.method == "HEAD" else None
    with pytest.raises(AwsRefusedError, match=words):
        S3BundleStore(client_of(server), LOCATION).prepare()
    assert not server.find("PUT", "/images")


def test_a_bucket_that_takes_no_acl_is_refused_before_anything_is_sent(server: CloudServer) -> None:
    client = client_of(server)
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
    S3BundleStore(client_of(server), LOCATION).prepare()
    reply = error_reply(status, "NotImplemented" if status.startswith("501") else "AccessDenied")
    server.intercept = lambda request: reply if "ownershipControls" in request.query else None
    S3BundleStore(client_of(server), LOCATION).prepare()
    assert server.find("GET", "/images", "ownershipControls")


def test_a_bucket_that_another_process_created_meanwhile_is_used(server: CloudServer) -> None:
    S3BundleStore(client_of(server), LOCATION).prepare()
    missing = Reply(status="404 Not Found")
    server.intercept = lambda request: missing if request.method == "HEAD" else None
    S3BundleStore(client_of(server), LOCATION).prepare()
    assert len(server.find("PUT", "/images")) == 2


def test_a_bucket_name_that_is_taken_is_refused(server: CloudServer) -> None:
    taken = error_reply("409 Conflict", "BucketAlreadyExists")
    server.intercept = lambda request: taken if request.method == "PUT" else None
    with pytest.raises(AwsRefusedError, match=r"create s3://images in eu-west-1.*worldwide"):
        S3BundleStore(client_of(server), LOCATION).prepare()


def test_a_server_that_is_not_there_is_a_transfer_error_soon(server: CloudServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Cloud.open(region=REGION, endpoint_url=url, attempts=2).s3()
        store = S3BundleStore(client, LOCATION)
        began = time.monotonic()
        with pytest.raises(TransferError, match="look at s3://images: Could not connect"):
            store.prepare()
        put(store, "name", b"content")
        with pytest.raises(TransferError, match="put s3://images/web/2026/name: Could not connect"):
            store.flush()
        assert time.monotonic() - began < PATIENCE


# Reading.


def test_get_gives_bounded_chunks(store: S3BundleStore) -> None:
    content = content_of(2 * MIB + 1)
    put(store, "name", content)
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
    elsewhere = S3BundleStore(client_of(server), ImageLocation(bucket=bucket, key="web"))
    chunks = elsewhere.get("name")
    with pytest.raises(AwsRefusedError, match=f"get s3://{bucket}/web/name: ") as caught:
        next(chunks)
    assert caught.value.code == code


ETAG = ("ETag", '"1"')


def test_a_stream_that_breaks_is_taken_up_where_it_ended(
    server: CloudServer, store: S3BundleStore
) -> None:
    content = content_of(3000)
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
