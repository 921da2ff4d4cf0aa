"""Sending objects to S3 over HTTP: what is sent, what is not, what fails, and what is given up."""

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest

from bundler.aws.body import SEND_SIZE
from bundler.aws.retry import RetryPolicy
from bundler.aws.s3 import S3BundleStore
from bundler.aws.transport import TransportSettings
from bundler.aws.upload import MAX_HELD_SIZE
from bundler.errors import AwsRefusedError, ExistsError, HostError, TransferError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation
from tests.support.cloud import (
    S3_SERVERS,
    CloudServer,
    Reply,
    cloud_server,
    error_reply,
    make_bucket,
    open_store,
    put_object,
    s3_client,
)
from tests.support.faults import FOREVER, Fault, FaultKind, Request

LOCATION = ImageLocation(bucket="images", key="web/2026")
PATH = "/images/web/2026"

PATIENCE = 20.0
"""Seconds after which a test that waits for a thread has failed."""

PATIENT = TransportSettings(policy=RetryPolicy(max_attempts=6, first_delay=0.01, max_delay=0.02))


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, LOCATION.bucket, acl="aws-exec-read")
        running.requests.clear()
        yield running


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    return open_store(server, LOCATION, settings=PATIENT)


def content_of(size: int) -> bytes:
    return Random(size).randbytes(size)


def stored(server: CloudServer, name: str) -> bytes:
    """What the server has, read without our code."""
    reply = s3_client(server).get_object(Bucket=LOCATION.bucket, Key=f"{LOCATION.key}/{name}")
    return reply["Body"].read()


def puts(server: CloudServer, name: str = "") -> list[Request]:
    return [
        request
        for request in server.requests
        if request.method == "PUT" and request.path.startswith(f"{PATH}/{name}")
    ]


class Body(io.BytesIO):
    """A body that counts itself among the open ones, and can break."""

    open_bodies: ClassVar[set[int]] = set()  # a set: two threads may close the same body at once

    def __init__(self, content: bytes, *, reads_until_broken: int = 1_000_000) -> None:
        super().__init__(content)
        self.reads_until_broken = reads_until_broken
        Body.open_bodies.add(id(self))

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


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


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


SIZES = (0, 1, SEND_SIZE - 1, SEND_SIZE, SEND_SIZE + 1, 20 * MIB)


@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_one_request_with_its_sha1(
    server: CloudServer, store: S3BundleStore, size: int
) -> None:
    content = content_of(size)
    put_object(store, "web.part.0", content)
    store.flush()
    (request,) = server.requests
    assert (request.method, request.path) == ("PUT", f"{PATH}/web.part.0")
    digest = sha1(content, usedforsecurity=False).digest()
    assert request.headers["x-amz-checksum-sha1"] == base64.b64encode(digest).decode()
    assert "x-amz-acl" not in request.headers
    assert stored(server, "web.part.0") == content
    assert (store.sent_count, store.held_count) == (1, 0)


def test_the_acl_is_sent(server: CloudServer) -> None:
    store = open_store(server, LOCATION, acl="aws-exec-read")
    put_object(store, "part", b"content")
    if server.s3 == "swift":
        # Swift knows no such ACL.
        with pytest.raises(AwsRefusedError, match=r"InvalidArgument.*--acl none sends none"):
            store.flush()
    else:
        store.flush()
    assert puts(server)[0].headers["x-amz-acl"] == "aws-exec-read"


def test_progress_tells_every_byte_once(server: CloudServer) -> None:
    told: list[int] = []
    store = open_store(server, LOCATION, settings=PATIENT, progress=told.append)
    server.faults.add(Fault(kind=FaultKind.RESET_REQUEST, method="PUT", at=300_000))
    for name, size in (("a", 1000), ("b", MIB)):
        put_object(store, name, content_of(size))
    store.flush()
    assert sum(told) == 1000 + MIB


def test_the_body_is_sent_from_its_start(server: CloudServer, store: S3BundleStore) -> None:
    body = io.BytesIO(b"content")
    body.seek(3)
    put_object(store, "name", b"content", body)
    store.flush()
    assert stored(server, "name") == b"content"
    assert body.closed


def test_a_store_goes_on_after_flush(server: CloudServer, store: S3BundleStore) -> None:
    for name in ("part", "manifest"):
        put_object(store, name, name.encode())
        store.flush()
    store.flush()
    assert stored(server, "manifest") == b"manifest"


def test_names_with_blanks_and_letters_of_the_world(server: CloudServer) -> None:
    location = ImageLocation(bucket="images", key="old ones/ä+b%20/日本")
    store = open_store(server, location, settings=PATIENT)
    name = "wëb 1 & 2.part.0"
    put_object(store, name, b"content")
    store.flush()
    assert store.read(name, limit=100) == b"content"
    assert [found.name for found in store.list("wëb")] == [name]
    found = store.head(name)
    assert found is not None
    assert (found.name, found.size) == (name, 7)
    store.delete([name])
    assert store.head(name) is None


# What S3 holds already


def hold(server: CloudServer, name: str, content: bytes) -> None:
    """Put an object as somebody else would, without a SHA-1."""
    s3_client(server).put_object(Bucket=LOCATION.bucket, Key=f"{LOCATION.key}/{name}", Body=content)
    server.requests.clear()


def put_held(store: S3BundleStore, name: str, content: bytes, *, only_new: bool = False) -> None:
    digest = sha1(content, usedforsecurity=False).digest()
    store.put(name, Body(content), sha1=digest, may_be_held=True, only_new=only_new)


@pytest.mark.parametrize("is_ours", [True, False])
def test_what_s3_holds_is_not_sent_again(
    server: CloudServer, store: S3BundleStore, is_ours: bool
) -> None:
    if is_ours:
        put_object(store, "part", b"content")
        store.flush()
        server.requests.clear()
    else:
        hold(server, "part", b"content")
    put_held(store, "part", b"content")
    store.flush()
    assert not puts(server)
    assert store.held_count == 1
    assert not Body.open_bodies


@pytest.mark.parametrize("other", [b"", b"Content", b"content."])
def test_what_is_another_object_is_sent(
    server: CloudServer, store: S3BundleStore, other: bytes
) -> None:
    hold(server, "part", other)
    put_held(store, "part", b"content")
    store.flush()
    assert len(puts(server)) == 1
    assert stored(server, "part") == b"content"


def test_what_is_not_there_is_sent(server: CloudServer, store: S3BundleStore) -> None:
    put_held(store, "part", b"content")
    store.flush()
    assert stored(server, "part") == b"content"


def test_what_somebody_else_has_put_meanwhile_is_not_replaced(
    server: CloudServer, store: S3BundleStore
) -> None:
    hold(server, "manifest", b"theirs")
    digest = sha1(b"ours", usedforsecurity=False).digest()
    store.put("manifest", Body(b"ours"), sha1=digest, only_new=True)
    with pytest.raises(ExistsError, match="somebody else has put it there meanwhile"):
        store.flush()
    assert stored(server, "manifest") == b"theirs"


def test_a_lost_reply_is_no_refusal(server: CloudServer, store: S3BundleStore) -> None:
    server.faults.add(Fault(kind=FaultKind.DROP_RESPONSE, method="PUT"))
    digest = sha1(b"ours", usedforsecurity=False).digest()
    store.put("manifest", Body(b"ours"), sha1=digest, only_new=True)
    store.flush()
    assert len(puts(server)) == 2
    assert stored(server, "manifest") == b"ours"


def test_a_server_that_knows_no_conditions(server: CloudServer, store: S3BundleStore) -> None:
    unknown = error_reply("501 Not Implemented", "NotImplemented")
    server.intercept = lambda request: unknown if "if-none-match" in request.headers else None
    digest = sha1(b"ours", usedforsecurity=False).digest()
    store.put("manifest", Body(b"ours"), sha1=digest, only_new=True)
    store.flush()
    assert stored(server, "manifest") == b"ours"
    assert not Body.open_bodies


# Faults on the way


FAULTS = {
    "cut in the middle": Fault(kind=FaultKind.RESET_REQUEST, method="PUT", at=500_000, times=2),
    "closed in the middle": Fault(kind=FaultKind.CLOSE_REQUEST, method="PUT", at=1),
    "500": Fault(kind=FaultKind.STATUS, method="PUT", status=500, code="InternalError", times=3),
    "slow down": Fault(kind=FaultKind.STATUS, method="PUT", times=4),
    "request timeout": Fault(
        kind=FaultKind.STATUS, method="PUT", status=400, code="RequestTimeout"
    ),
    "damaged on the way": Fault(kind=FaultKind.CORRUPT_REQUEST, method="PUT", at=700_000),
    "reply lost": Fault(kind=FaultKind.DROP_RESPONSE, method="PUT"),
    "no answer": Fault(kind=FaultKind.HANG, method="PUT", seconds=60.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_survived(server: CloudServer, name: str) -> None:
    settings = TransportSettings(policy=PATIENT.policy, timeout=0.5)
    store = open_store(server, LOCATION, settings=settings)
    server.faults.add(FAULTS[name])
    contents = {f"part.{index}": content_of(MIB + index) for index in range(3)}
    for part, content in contents.items():
        put_object(store, part, content)
    store.flush()
    assert {part: stored(server, part) for part in contents} == contents


def test_retries_are_counted(server: CloudServer) -> None:
    store = open_store(server, LOCATION, settings=PATIENT)
    server.faults.add(Fault(kind=FaultKind.STATUS, method="PUT", times=3))
    put_object(store, "part", b"content")
    store.flush()
    assert len(puts(server)) == 4
    assert store.sent_count == 1


@pytest.mark.parametrize(
    ("status", "code"), [("503 Slow Down", "SlowDown"), ("400 Bad Request", "BadDigest")]
)
def test_what_never_passes_is_a_transfer_error(
    server: CloudServer, store: S3BundleStore, status: str, code: str
) -> None:
    server.faults.add(
        Fault(kind=FaultKind.STATUS, method="PUT", status=int(status[:3]), code=code, times=FOREVER)
    )
    put_object(store, "bad", b"content")
    with pytest.raises(TransferError, match=rf"bad: It is so .{code}.*tried \d times"):
        store.flush()


def test_flush_raises_the_first_failure_and_the_store_is_over(
    server: CloudServer, store: S3BundleStore
) -> None:
    denied = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: denied if request.path.endswith("/bad") else None
    bodies = [Body(b"content") for _ in range(3)]
    for name, body in zip(("good", "bad", "other"), bodies, strict=True):
        put_object(store, name, b"content", body)
    with pytest.raises(AwsRefusedError, match=r"put s3://images/web/2026/bad: It is so") as caught:
        store.flush()
    assert caught.value.code == "AccessDenied"
    assert len(puts(server, "bad")) == 1
    late = Body(b"content")
    with pytest.raises(RuntimeError, match="one has failed"):
        put_object(store, "late", b"content", late)
    assert late.closed
    with pytest.raises(RuntimeError, match="one has failed"):
        store.flush()


def test_put_raises_the_failure_of_an_earlier_one(server: CloudServer) -> None:
    store = open_store(server, LOCATION, settings=TransportSettings(max_concurrency=1))
    reply = error_reply("400 Bad Request", "AccessControlListNotSupported")
    server.intercept = lambda request: reply if request.path.endswith("/bad") else None
    put_object(store, "bad", b"content", Body(b"content"))
    with pytest.raises(AwsRefusedError, match=r"web/2026/bad.*BucketOwnerPreferred"):
        put_object(store, "next", b"content", Body(b"content"))
    assert len(Body.open_bodies) == 0
    assert not puts(server, "next")


def test_an_expired_token_is_told_with_its_remedy(
    server: CloudServer, store: S3BundleStore
) -> None:
    server.faults.add(
        Fault(kind=FaultKind.STATUS, method="PUT", status=400, code="ExpiredToken", times=FOREVER)
    )
    put_object(store, "part", b"content")
    with pytest.raises(AwsRefusedError, match=r"ExpiredToken.*log in again"):
        store.flush()
    assert len(puts(server)) == 1


def test_a_wrong_clock_is_told_by_how_much(server: CloudServer, store: S3BundleStore) -> None:
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            status=403,
            code="RequestTimeTooSkewed",
            headers=(("Date", "Tue, 24 Nov 2020 12:00:00 GMT"),),
        )
    )
    put_object(store, "part", b"content")
    with pytest.raises(AwsRefusedError, match=r"this machine's clock: it is \d+ s ahead of AWS"):
        store.flush()


def test_a_bucket_of_another_region_is_told(server: CloudServer, store: S3BundleStore) -> None:
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            status=400,
            code="AuthorizationHeaderMalformed",
            elements=(("Region", "ap-south-1"),),
            times=FOREVER,
        )
    )
    put_object(store, "part", b"content")
    with pytest.raises((AwsRefusedError, TransferError), match=r"ap-south-1|give that region"):
        store.flush()


@pytest.mark.parametrize("reads", [0, 2])
def test_a_body_that_cannot_be_read_is_this_machines_failure(
    server: CloudServer, store: S3BundleStore, reads: int
) -> None:
    # The first two reads are for the request's signature, the others for sending it.
    put_object(store, "part", b"content", Body(b"content", reads_until_broken=reads))
    with pytest.raises(HostError, match=r"2026/part: cannot read what is to be sent.*Errno 5"):
        store.flush()
    assert len(Body.open_bodies) == 0
    assert not [request for request in puts(server) if request.status == 200]


# Pace


def test_put_waits_while_too_many_are_on_their_way(server: CloudServer) -> None:
    store = open_store(server, LOCATION, settings=TransportSettings(max_concurrency=3))
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
    assert len(puts(server, "part.9")) == 1


def test_large_bodies_wait_for_one_another(server: CloudServer) -> None:
    store = open_store(server, LOCATION, settings=TransportSettings(max_concurrency=8))
    gate = Gate()
    server.intercept = gate
    content = bytes(MAX_HELD_SIZE // 2 + 1)

    def send() -> None:
        for index in range(2):
            put_object(store, f"part.{index}", content)
        store.flush()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert gate.waiting.acquire(timeout=PATIENCE)
        assert not gate.waiting.acquire(timeout=0.3)
    finally:
        gate.open()
        sender.join(PATIENCE)
    assert not sender.is_alive()
    assert len(puts(server)) == 2


def test_fewer_run_after_slow_down(server: CloudServer) -> None:
    """Eight requests are throttled together: half as many go on side by side."""
    running = most_running = count = 0
    lock, all_there = threading.Lock(), threading.Barrier(8)

    def intercept(request: Request) -> Reply | None:
        nonlocal running, most_running, count
        with lock:
            index, count = count, count + 1
        if index < 8:
            all_there.wait(PATIENCE)  # all eight run at a time
            return error_reply("503 Slow Down", "SlowDown")
        with lock:
            running += 1
            most_running = max(most_running, running)
        threading.Event().wait(0.05)  # so that those meet that run side by side
        with lock:
            running -= 1
        return None

    server.intercept = intercept
    settings = TransportSettings(policy=PATIENT.policy, max_concurrency=8)
    store = open_store(server, LOCATION, settings=settings)
    for index in range(12):
        put_object(store, f"part.{index}", b"content")
    store.flush()
    assert most_running <= 5  # four, and one more after four successes
    assert store.sent_count == 12


# Giving up


def test_cancel_returns_at_once_and_ends_what_is_on_its_way(server: CloudServer) -> None:
    store = open_store(server, LOCATION, settings=PATIENT)
    gate = Gate()
    server.intercept = gate
    put_object(store, "big", bytes(6 * MIB), Body(bytes(6 * MIB)))
    try:
        assert gate.waiting.acquire(timeout=PATIENCE)
        began = time.monotonic()
        store.cancel()
        assert time.monotonic() - began < 1
    finally:
        gate.open()
    wait_until(lambda: not Body.open_bodies)
    store.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        store.flush()


def test_cancel_ends_a_pause_between_attempts(server: CloudServer) -> None:
    policy = RetryPolicy(first_delay=3600.0, max_delay=3600.0)
    store = open_store(server, LOCATION, settings=TransportSettings(policy=policy))
    server.faults.add(Fault(kind=FaultKind.STATUS, method="PUT", times=FOREVER))
    put_object(store, "part", b"content", Body(b"content"))
    wait_until(lambda: bool(puts(server)))
    store.cancel()
    wait_until(lambda: not Body.open_bodies)
    assert len(puts(server)) == 1


def test_unfinished_uploads_in_pieces_are_aborted(
    server: CloudServer, store: S3BundleStore
) -> None:
    client = s3_client(server)
    for name in ("web.part.0", "web.part.1", "other.part.0"):
        client.create_multipart_upload(Bucket="images", Key=f"{LOCATION.key}/{name}")
    assert store.abort_uploads("", lambda name: name.startswith("web.")) == 2
    left = client.list_multipart_uploads(Bucket="images").get("Uploads", [])
    assert [upload["Key"] for upload in left] == [f"{LOCATION.key}/other.part.0"]


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented"])
def test_unfinished_uploads_need_not_be_known(
    server: CloudServer, store: S3BundleStore, code: str
) -> None:
    status = "501 Not Implemented" if code == "NotImplemented" else "403 Forbidden"
    reply = error_reply(status, code)
    server.intercept = lambda request: reply if "uploads" in request.query else None
    assert store.abort_uploads("", lambda name: True) == 0
