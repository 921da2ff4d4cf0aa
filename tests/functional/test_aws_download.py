"""Reading, listing and removing objects over HTTP."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from hashlib import sha1
from pathlib import Path
from random import Random

import pytest

from bundler.aws.retry import RetryPolicy
from bundler.aws.s3 import S3BundleStore
from bundler.aws.transport import TransportSettings
from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    InputError,
    TransferError,
    VerificationError,
)
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
    slow_on_swift,
)
from tests.support.faults import FOREVER, Fault, FaultKind, Request

LOCATION = ImageLocation(bucket="images", key="web/2026")
PATH = "/images/web/2026"

ATTEMPTS = 6
PATIENT = TransportSettings(
    policy=RetryPolicy(max_attempts=ATTEMPTS, first_delay=0.01, max_delay=0.02), timeout=0.5
)

CONTENT = Random(1).randbytes(MIB + 1)
SHA1 = sha1(CONTENT, usedforsecurity=False).digest()


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, LOCATION.bucket)
        yield running


@pytest.fixture
def store(server: CloudServer) -> S3BundleStore:
    """A store with an object, CONTENT, named part."""
    store = open_store(server, LOCATION, settings=PATIENT)
    put_object(store, "part", CONTENT)
    store.flush()
    server.requests.clear()
    return store


class Told:
    """Adds up what it is told of progress."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self, size: int) -> None:
        self.size += size


def fetch(
    store: S3BundleStore,
    name: str = "part",
    *,
    digest: bytes = SHA1,
    limit: int = len(CONTENT),
    advance: Callable[[int], object] = lambda size: None,
) -> bytes:
    file = io.BytesIO()
    size = store.fetch(name, file, sha1=digest, limit=limit, advance=advance)
    assert size == len(file.getvalue())
    return file.getvalue()


def gets(server: CloudServer) -> list[Request]:
    return [request for request in server.requests if request.method == "GET"]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 3 * MIB + 1])
def test_fetch_and_read_give_what_was_put(
    server: CloudServer, store: S3BundleStore, size: int
) -> None:
    content = Random(size).randbytes(size)
    put_object(store, "other", content)
    store.flush()
    digest = sha1(content, usedforsecurity=False).digest()
    told = Told()
    assert fetch(store, "other", digest=digest, limit=size, advance=told) == content
    assert told.size == size
    assert store.read("other", limit=size) == content


FAULTS = {
    "reset at the start": Fault(kind=FaultKind.RESET_RESPONSE, method="GET", at=0),
    "reset in the middle": Fault(kind=FaultKind.RESET_RESPONSE, method="GET", at=500_000),
    "reset again and again": Fault(
        kind=FaultKind.RESET_RESPONSE, method="GET", at=200_000, times=4
    ),
    "truncated": Fault(kind=FaultKind.CLOSE_RESPONSE, method="GET", at=700_000),
    "damaged on the way": Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", at=600_000),
    "damaged at the end": Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", at=MIB),
    "slow down": Fault(kind=FaultKind.STATUS, method="GET", times=3),
    "500": Fault(kind=FaultKind.STATUS, method="GET", status=500, code="InternalError"),
    "no answer": Fault(kind=FaultKind.HANG, method="GET", seconds=60.0),
    "an error in 200": Fault(kind=FaultKind.ERROR_IN_200, method="GET", code="InternalError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_is_survived(server: CloudServer, store: S3BundleStore, name: str) -> None:
    server.faults.add(FAULTS[name])
    told = Told()
    assert fetch(store, advance=told) == CONTENT
    assert told.size == len(CONTENT)
    assert len(gets(server)) > 1


@pytest.mark.parametrize("name", FAULTS)
def test_small_objects_survive_it_too(server: CloudServer, store: S3BundleStore, name: str) -> None:
    server.faults.add(FAULTS[name])
    assert store.read("part", limit=MIB + 1) == CONTENT


def test_a_stream_that_breaks_is_taken_up_where_it_ended(
    server: CloudServer, store: S3BundleStore
) -> None:
    server.faults.add(Fault(kind=FaultKind.CLOSE_RESPONSE, method="GET", at=300_000, times=2))
    assert fetch(store) == CONTENT
    first, *others = gets(server)
    assert "range" not in first.headers
    assert len(others) == 2
    assert all("if-match" in request.headers for request in others)
    starts = [int(request.headers["range"].removeprefix("bytes=")[:-1]) for request in others]
    assert starts == sorted(starts)
    assert 0 < starts[0] <= 300_000


def test_a_stream_that_always_breaks_is_a_transfer_error(
    server: CloudServer, store: S3BundleStore
) -> None:
    server.faults.add(Fault(kind=FaultKind.RESET_RESPONSE, method="GET", at=0, times=FOREVER))
    with pytest.raises(TransferError, match=rf"get s3://images/web/2026/part: .*tried {ATTEMPTS}"):
        fetch(store)
    assert len(gets(server)) == ATTEMPTS


def test_an_object_that_is_wrong_in_s3_is_read_twice_only(
    server: CloudServer, store: S3BundleStore
) -> None:
    told = Told()
    with pytest.raises(VerificationError, match=rf"expected SHA1 {'ab' * 20}, got {SHA1.hex()}"):
        fetch(store, digest=b"\xab" * 20, advance=told)
    assert len(gets(server)) == 2


def test_an_object_that_is_wrong_and_may_be_read_once_is_wrong(server: CloudServer) -> None:
    settings = TransportSettings(policy=RetryPolicy(max_attempts=1))
    store = open_store(server, LOCATION, settings=settings)
    put_object(store, "part", CONTENT)
    store.flush()
    with pytest.raises(VerificationError, match=f"expected SHA1 {'ab' * 20}.*, or in S3"):
        fetch(store, digest=b"\xab" * 20)


def test_an_object_that_is_larger_is_not_read(server: CloudServer, store: S3BundleStore) -> None:
    told = Told()
    words = f"part: expected at most {MIB} bytes, got {MIB + 1}"
    with pytest.raises(VerificationError, match=words):
        fetch(store, limit=MIB, advance=told)
    assert told.size == 0
    with pytest.raises(InputError, match=words):
        store.read("part", limit=MIB)


def test_an_endless_object_is_not_read_to_its_end(
    server: CloudServer, store: S3BundleStore
) -> None:
    # It says that it is small, and is not.
    server.intercept = lambda request: Reply(
        status="200 OK", body=bytes(2 * MIB), headers=(("ETag", '"1"'), ("X-Cut", "1"))
    )
    with pytest.raises(VerificationError, match="expected at most 1000 bytes"):
        fetch(store, limit=1000)


def test_an_object_that_changes_while_it_is_read_is_refused(
    server: CloudServer, store: S3BundleStore
) -> None:
    server.faults.add(Fault(kind=FaultKind.CLOSE_RESPONSE, method="GET", at=300_000))

    def replace_meanwhile(request: Request) -> None:
        if "range" in request.headers:
            server.intercept = lambda request: None
            put_object(other, "part", b"other")
            other.flush()

    other = open_store(server, LOCATION)
    server.intercept = replace_meanwhile
    with pytest.raises(AwsRefusedError, match="PreconditionFailed"):
        fetch(store)


def test_a_server_that_cannot_go_on_in_the_middle_begins_again(
    server: CloudServer, store: S3BundleStore
) -> None:
    whole = Reply(status="200 OK", body=CONTENT, headers=(("ETag", '"1"'),))
    replies = [Reply(status="200 OK", body=CONTENT[:1000], headers=whole.headers, length=MIB + 1)]
    server.intercept = lambda request: replies.pop() if replies else whole
    assert fetch(store) == CONTENT
    assert [request.headers.get("range") for request in gets(server)] == [
        None,
        "bytes=1000-",
        None,
    ]


@pytest.mark.parametrize(
    ("bucket", "code"), [("images", "NoSuchKey"), ("no-such-bucket", "NoSuchBucket")]
)
def test_what_is_not_there(server: CloudServer, bucket: str, code: str) -> None:
    store = open_store(server, ImageLocation(bucket=bucket, key="web"), settings=PATIENT)
    with pytest.raises(AwsRefusedError, match=f"get s3://{bucket}/web/name: ") as caught:
        fetch(store, "name")
    assert caught.value.code == code
    with pytest.raises(AwsRefusedError, match=f"get s3://{bucket}/web/name: "):
        store.read("name", limit=1)
    assert store.head("name") is None
    assert len(gets(server)) == 2


def test_a_file_that_cannot_be_written_is_not_the_networks_failure(
    server: CloudServer, store: S3BundleStore
) -> None:
    with Path("/dev/full").open("w+b", buffering=0) as full, pytest.raises(OSError, match="space"):
        store.fetch("part", full, sha1=SHA1, limit=MIB + 1, advance=lambda size: None)
    assert len(gets(server)) == 1


def test_cancel_ends_what_is_being_read(server: CloudServer, store: S3BundleStore) -> None:
    ended: list[BaseException] = []

    def read() -> None:
        try:
            fetch(store, advance=lambda size: store.cancel())
        except (CancelledError, BundlerError) as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(20.0)
    assert isinstance(ended[0], CancelledError)


# What S3 tells of objects


def test_head_tells_size_and_digest(server: CloudServer, store: S3BundleStore) -> None:
    found = store.head("part")
    assert found is not None
    assert (found.name, found.size) == ("part", len(CONTENT))
    if server.find("HEAD", f"{PATH}/part") and found.sha1:
        assert found.sha1 == SHA1
    else:
        assert found.md5  # Swift tells no SHA-1
    assert store.head("other") is None


@pytest.mark.parametrize(
    "headers",
    [
        (("x-amz-checksum-sha1", "w++mkPo/3S4lJoU+7WcFOOoSdjg=-2"), ("ETag", '"0123-2"')),
        (
            ("x-amz-checksum-sha1", "w++mkPo/3S4lJoU+7WcFOOoSdjg="),
            ("x-amz-checksum-type", "COMPOSITE"),
        ),
        (("x-amz-checksum-sha1", "w++mkPo/3S4lJoU+7WcFOOoSdjg="), ("ETag", '"0123-2"')),
        (("x-amz-checksum-sha1", "%%%"),),
        (("x-amz-checksum-sha1", "AAAA"),),
    ],
)
def test_a_digest_of_digests_is_none(
    server: CloudServer, store: S3BundleStore, headers: tuple[tuple[str, str], ...]
) -> None:
    reply = Reply(status="200 OK", headers=headers)
    server.intercept = lambda request: reply if request.method == "HEAD" else None
    found = store.head("part")
    assert found is not None
    assert found.sha1 == b""


@pytest.mark.parametrize("algorithm", ["aws:kms", "aws:kms:dsse"])
def test_the_etag_of_an_object_under_kms_is_no_md5(
    server: CloudServer, store: S3BundleStore, algorithm: str
) -> None:
    headers = (("ETag", f'"{"0" * 32}"'), ("x-amz-server-side-encryption", algorithm))
    reply = Reply(status="200 OK", headers=headers)
    server.intercept = lambda request: reply if request.method == "HEAD" else None
    found = store.head("part")
    assert found is not None
    assert found.md5 == ""


@slow_on_swift
def test_list_gives_all_pages(server: CloudServer, store: S3BundleStore) -> None:
    store = open_store(server, LOCATION)  # one that waits as long as a thousand deletions take
    client = s3_client(server)
    names = [f"web.part.{index:04d}" for index in range(1001)]
    for name in names:
        client.put_object(Bucket="images", Key=f"{LOCATION.key}/{name}", Body=b"x")
    found = list(store.list("web.part."))
    assert [one.name for one in found] == names
    assert {one.size for one in found} == {1}
    store.delete(names)
    assert list(store.list("web.part.")) == []
    assert [one.name for one in store.list("")] == ["part"]


def test_list_of_nothing(server: CloudServer, store: S3BundleStore) -> None:
    assert list(store.list("nothing")) == []


def test_delete_asks_not_whether_it_is_there(store: S3BundleStore) -> None:
    store.delete(["part", "part", "other"])
    store.delete([])
    with pytest.raises(AwsRefusedError, match="NoSuchKey"):
        store.read("part", limit=1)


def test_delete_that_is_refused(server: CloudServer, store: S3BundleStore) -> None:
    denied = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: denied if "delete" in request.query else None
    with pytest.raises(AwsRefusedError, match="delete s3://images/web/2026/part and 1 more: It"):
        store.delete(["part", "other"])


def test_delete_of_one_key_that_is_refused(server: CloudServer, store: S3BundleStore) -> None:
    body = (
        b"<DeleteResult><Error><Key>web/2026/part</Key><Code>AccessDenied</Code>"
        b"<Message>No.</Message></Error></DeleteResult>"
    )
    headers = (("Content-Type", "application/xml"),)
    reply = Reply(status="200 OK", body=body, headers=headers)
    server.intercept = lambda request: reply if "delete" in request.query else None
    with pytest.raises(AwsRefusedError, match=r"2026/part: No \(AccessDenied\)"):
        store.delete(["part"])


def test_the_requester_pays_when_told_to(server: CloudServer) -> None:
    settings = TransportSettings(policy=PATIENT.policy, is_requester_paying=True)
    store = open_store(server, LOCATION, settings=settings)
    put_object(store, "part", CONTENT)
    store.flush()
    assert fetch(store) == CONTENT
    list(store.list(""))
    store.head("part")
    store.delete(["part"])
    ours = [request for request in server.requests if request.path.startswith("/images/web")]
    assert ours
    assert all(request.headers.get("x-amz-request-payer") == "requester" for request in ours)
