"""Sending objects to S3 over HTTP: what the requests say."""

import base64
import io
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from random import Random
from zlib import crc32

import pytest
from s3transfer.manager import TransferConfig

from bundler.aws.s3 import S3BundleStore
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from tests.support.cloud import CloudServer, cloud_server, put_object, s3_client

LOCATION = ImageLocation(bucket="images", key="web/2026")

SMALL = TransferConfig(
    multipart_threshold=6 * MIB,
    multipart_chunksize=5 * MIB,
    max_request_concurrency=4,
    max_submission_concurrency=1,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    """A store whose bucket is there."""
    store = S3BundleStore(s3_client(server), LOCATION, config=SMALL)
    store.prepare()
    server.requests.clear()
    return store


def content_of(size: int) -> bytes:
    return Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 6 * MIB - 1])
def test_a_small_object_is_one_put_with_its_sha1(
    server: CloudServer, store: S3BundleStore, size: int
) -> None:
    content = content_of(size)
    put_object(store, "web.part.0", content)
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
    body = io.BytesIO(content)
    put_object(store, "web.part.0", content, body)
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
    store = S3BundleStore(s3_client(server), LOCATION, acl=acl, config=SMALL)
    store.prepare()
    put_object(store, "web.part.0", content_of(size))
    store.flush()
    assert not [request for request in server.requests if "x-amz-acl" in request.headers]
    assert not server.find("GET", "/images", "ownershipControls")


def test_progress_tells_every_byte(server: CloudServer) -> None:
    sent: list[int] = []
    store = S3BundleStore(s3_client(server), LOCATION, config=SMALL, progress=sent.append)
    store.prepare()
    for name, size in (("a", 1000), ("b", 6 * MIB)):
        put_object(store, name, content_of(size))
    store.flush()
    assert sum(sent) == 1000 + 6 * MIB


def test_the_body_is_sent_from_its_start(store: S3BundleStore) -> None:
    body = io.BytesIO(b"content")
    body.seek(3)
    put_object(store, "name", b"content", body)
    store.flush()
    assert b"".join(store.get("name")) == b"content"
    assert body.closed


def test_a_store_goes_on_after_flush(store: S3BundleStore) -> None:
    for name in ("part", "manifest"):
        put_object(store, name, name.encode())
        store.flush()
    store.flush()
    assert b"".join(store.get("manifest")) == b"manifest"
