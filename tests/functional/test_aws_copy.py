"""Copies within S3 over HTTP: what is asked, what proves a copy, and what is told when none is."""

from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pytest

from bundler.aws.s3 import ACL, S3BundleStore
from bundler.aws.upload import MAX_OBJECT_SIZE
from bundler.errors import AwsRefusedError, InputError, TransferError, VerificationError
from bundler.model.image import ImageLocation
from bundler.model.stored import StoredObject
from tests.support.cloud import (
    S3_SERVERS,
    CloudServer,
    Reply,
    Request,
    cloud_server,
    error_reply,
    make_bucket,
    open_store,
    put_object,
)

SOURCE = ImageLocation(bucket="from", key="old")
TARGET = ImageLocation(bucket="goal", key="new")
NAME = "web.part.0"
CONTENT = b"encrypted" * 1000
SHA1 = sha1(CONTENT, usedforsecurity=False).digest()


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def place(server: CloudServer, name: str = NAME) -> StoredObject:
    """Put the object to copy; what S3 tells of it."""
    for location in (SOURCE, TARGET):
        make_bucket(server, location.bucket, acl=ACL)
    source = open_store(server, SOURCE)
    put_object(source, name, CONTENT)
    source.flush()
    stored = source.head(name)
    assert stored is not None
    server.requests.clear()
    return stored


def copy(
    store: S3BundleStore,
    stored: StoredObject,
    *,
    name: str = NAME,
    sha1: bytes = SHA1,
    may_be_held: bool = False,
) -> None:
    store.copy(SOURCE.join(name), name, sha1=sha1, stored=stored, may_be_held=may_be_held)
    store.flush()


@pytest.mark.parametrize("name", [NAME, "a b+c%25 \u00fc?&#.part.0"], ids=["plain", "odd"])
def test_a_copy_is_the_same(server: CloudServer, name: str) -> None:
    stored = place(server, name)
    told: list[int] = []
    store = open_store(server, TARGET, progress=told.append)
    copy(store, stored, name=name)
    assert store.read(name, limit=len(CONTENT)) == CONTENT
    is_proven = stored.sha1 != b""
    assert (store.sent_count, store.held_count) == (1, 0)
    assert store.unproven_count == (0 if is_proven else 1)
    assert told == [len(CONTENT)]


def test_a_copy_is_asked_for_with_acl_and_digest(moto: CloudServer) -> None:
    stored = place(moto)
    copy(open_store(moto, TARGET, acl=ACL), stored)
    (request,) = moto.requests
    assert request.headers["x-amz-copy-source"] == f"from/old/{NAME}"
    assert request.headers["x-amz-checksum-algorithm"] == "SHA1"
    assert request.headers["x-amz-acl"] == "aws-exec-read"


def test_what_is_there_is_not_copied_again(server: CloudServer) -> None:
    stored = place(server)
    copy(open_store(server, TARGET), stored)
    server.requests.clear()
    store = open_store(server, TARGET)
    copy(store, stored, may_be_held=True)
    assert {request.method for request in server.requests} == {"HEAD"}
    assert (store.sent_count, store.held_count) == (0, 1)
    assert store.unproven_count == (0 if stored.sha1 else 1)


@pytest.mark.parametrize("other", [b"x" * len(CONTENT), b"short", None])
def test_what_is_there_and_different_is_overwritten(
    server: CloudServer, other: bytes | None
) -> None:
    stored = place(server)
    store = open_store(server, TARGET)
    if other is not None:
        put_object(store, NAME, other)
        store.flush()
    copy(store, stored, may_be_held=True)
    assert store.read(NAME, limit=len(CONTENT)) == CONTENT


def test_another_sha1_than_was_meant(moto: CloudServer) -> None:
    stored = place(moto)
    with pytest.raises(
        VerificationError, match=r"copy s3://from/old/.*: expected SHA1 0101.*, got"
    ):
        copy(open_store(moto, TARGET), stored, sha1=b"\x01" * 20)


def without_sha1(request: Request) -> Reply | None:
    """A server that has copied, and tells no SHA-1 of it."""
    if request.method != "PUT" or "x-amz-copy-source" not in request.headers:
        return None
    return Reply(status="200 OK", body=b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>")


@pytest.mark.parametrize(
    ("there", "error", "pattern"),
    [
        (None, TransferError, r"the server says it is done, but there is no copy"),
        (b"short", VerificationError, rf"expected {len(CONTENT)} bytes, got 5"),
        (b"x" * len(CONTENT), VerificationError, r"expected MD5 [0-9a-f]{32}, got [0-9a-f]{32}"),
    ],
    ids=["none", "short", "other"],
)
def test_a_server_that_lies(
    server: CloudServer, there: bytes | None, error: type[Exception], pattern: str
) -> None:
    stored = place(server)
    store = open_store(server, TARGET)
    if there is not None:
        put_object(store, NAME, there)
        store.flush()
    server.intercept = without_sha1
    with pytest.raises(error, match=pattern):
        copy(store, stored)


def test_a_source_that_is_gone(server: CloudServer) -> None:
    stored = place(server)
    open_store(server, SOURCE).delete([NAME])
    with pytest.raises(AwsRefusedError, match=r"copy s3://from/old/web.part.0 to s3://goal/new/"):
        copy(open_store(server, TARGET), stored)


@pytest.mark.parametrize(
    ("code", "is_told"), [("AccessDenied", True), ("InvalidObjectState", False)]
)
def test_only_where_it_helps_streaming_is_spoken_of(
    moto: CloudServer, code: str, *, is_told: bool
) -> None:
    stored = place(moto)
    moto.intercept = lambda request: (
        error_reply("403 Forbidden", code) if request.method == "PUT" else None
    )
    with pytest.raises(AwsRefusedError, match=code) as caught:
        copy(open_store(moto, TARGET), stored)
    assert ("--stream" in str(caught.value)) is is_told
    assert caught.value.code == code


def test_more_than_s3_copies_at_once(moto: CloudServer) -> None:
    place(moto)
    stored = StoredObject(name=NAME, size=MAX_OBJECT_SIZE + 1)
    with pytest.raises(InputError, match=rf"expected at most {MAX_OBJECT_SIZE} bytes, got"):
        copy(open_store(moto, TARGET), stored)
    assert moto.requests == []
