"""Sending objects to S3 over HTTP: what is too much, fails, or is given up."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from s3transfer.manager import TransferConfig

from bundler.aws.s3 import S3BundleStore
from bundler.errors import AwsRefusedError, HostError, TransferError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from tests.support.cloud import (
    CloudServer,
    Reply,
    Request,
    cloud_server,
    error_reply,
    put_object,
    s3_client,
)

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


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    """A store whose bucket is there."""
    store = S3BundleStore(s3_client(server), LOCATION, config=SMALL)
    store.prepare()
    server.requests.clear()
    return store


class Body(io.BytesIO):
    """A body that counts itself among the open ones, and can break."""

    open_bodies: ClassVar[set[int]] = set()  # a set: two threads may close the same body at once
    most_open = 0

    def __init__(self, content: bytes, *, reads_until_broken: int = 1_000_000) -> None:
        super().__init__(content)
        self.reads_until_broken = reads_until_broken
        Body.open_bodies.add(id(self))
        Body.most_open = max(Body.most_open, len(Body.open_bodies))

    def read(self, size: int | None = -1) -> bytes:
        self.reads_until_broken -= 1
        if self.reads_until_broken < 0:
            raise OSError(5, "Input/output error")
        return super().read(size)

    def close(self) -> None:
        Body.open_bodies.discard(id(self))
        super().close()


@pytest.fixture(autouse=True)
def _no_bodies() -> None:
    Body.open_bodies.clear()
    Body.most_open = 0


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
    store = S3BundleStore(s3_client(server), LOCATION, max_in_flight=3)
    store.prepare()
    gate = Gate()
    server.intercept = gate
    done = threading.Event()

    def send() -> None:
        for index in range(10):
            put_object(store, f"part.{index}", b"content", Body(b"content"))
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
        assert len(Body.open_bodies) == 4
    finally:
        gate.open()
        sender.join(PATIENCE)
    assert done.is_set()
    assert len(Body.open_bodies) == 0
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
        put_object(store, name, b"content", body)
    with pytest.raises(AwsRefusedError, match=r"put s3://images/web/2026/bad: It is so") as caught:
        store.flush()
    assert caught.value.code == "AccessDenied"
    late = Body(b"content")
    with pytest.raises(RuntimeError, match="one has failed"):
        put_object(store, "late", b"content", late)
    assert late.closed
    with pytest.raises(RuntimeError, match="one has failed"):
        store.flush()


def test_put_raises_the_failure_of_an_earlier_one(server: CloudServer) -> None:
    store = S3BundleStore(s3_client(server), LOCATION, max_in_flight=1)
    store.prepare()
    refuse("bad", error_reply("400 Bad Request", "AccessControlListNotSupported"), server)
    put_object(store, "bad", b"content", Body(b"content"))
    with pytest.raises(
        AwsRefusedError, match=r"put s3://images/web/2026/bad.*BucketOwnerPreferred"
    ):
        put_object(store, "next", b"content", Body(b"content"))
    assert len(Body.open_bodies) == 0
    assert not server.find("PUT", "/images/web/2026/next")


@pytest.mark.parametrize(
    ("status", "code"), [("503 Slow Down", "SlowDown"), ("400 Bad Request", "BadDigest")]
)
def test_failures_of_the_service_are_transfer_errors(
    server: CloudServer, store: S3BundleStore, status: str, code: str
) -> None:
    refuse("bad", error_reply(status, code), server)
    put_object(store, "bad", b"content")
    with pytest.raises(TransferError, match=f"bad: It is so .{code}"):
        store.flush()


def test_a_request_that_fails_once_is_sent_again(server: CloudServer, store: S3BundleStore) -> None:
    replies = [error_reply("503 Slow Down", "SlowDown")]
    server.intercept = lambda request: replies.pop() if replies else None
    put_object(store, "name", b"content")
    store.flush()
    assert len(server.requests) == 2
    assert b"".join(store.get("name")) == b"content"


def test_a_failed_multipart_upload_is_aborted(server: CloudServer, store: S3BundleStore) -> None:
    failure = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: failure if "partNumber=2" in request.query else None
    body = Body(bytes(6 * MIB))
    put_object(store, "big", bytes(6 * MIB), body)
    with pytest.raises(AwsRefusedError, match="put s3://images/web/2026/big"):
        store.flush()
    assert body.closed
    assert len(server.find("DELETE", "/images/web/2026/big", "uploadId=")) == 1


@pytest.mark.parametrize("reads", [0, 2])
def test_a_body_that_cannot_be_read_is_this_machines_failure(
    server: CloudServer, reads: int
) -> None:
    # The first two reads are for the request's signature, the others for sending it.
    store = S3BundleStore(s3_client(server, attempts=8), LOCATION)
    store.prepare()
    began = time.monotonic()
    put_object(store, "part", b"content", Body(b"content", reads_until_broken=reads))
    with pytest.raises(HostError, match=r"2026/part: cannot read what is to be sent.*Errno 5"):
        store.flush()
    assert len(Body.open_bodies) == 0
    # Sent again and again, as after a failure of the network, it would last half a minute.
    assert time.monotonic() - began < 2


def test_cancel_returns_at_once_and_aborts_multipart_uploads(
    server: CloudServer, store: S3BundleStore
) -> None:
    gate, aborted = Gate(), threading.Event()

    def intercept(request: Request) -> None:
        if request.method == "DELETE":
            aborted.set()
        gate(request)

    server.intercept = intercept
    body = Body(bytes(6 * MIB))
    put_object(store, "big", bytes(6 * MIB), body)
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
    store = S3BundleStore(s3_client(server), LOCATION, max_in_flight=8, config=config)
    store.prepare()
    gate = Gate()
    server.intercept = gate
    for index in range(5):
        put_object(store, f"part.{index}", b"content", Body(b"content"))
    try:
        assert gate.waiting.acquire(timeout=PATIENCE)
        store.cancel()
    finally:
        gate.open()
    deadline = time.monotonic() + PATIENCE
    while Body.open_bodies and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert len(Body.open_bodies) == 0
    assert not server.find("PUT", "/images/web/2026/part.4")
