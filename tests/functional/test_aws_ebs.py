"""The adapters of the EBS direct APIs against the double, with replies that break or mislead."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from urllib3 import HTTPResponse

from bundler.aws.ebs import EbsSnapshotStore
from bundler.aws.ebs_reader import TOKEN_ATTEMPTS, EbsBlockReader
from bundler.aws.retry import RetryPolicy
from bundler.aws.transport import TransportSettings
from bundler.embedded.ebs import BLOCK_SIZE
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.snapshot import SnapshotRequest, SnapshotState
from tests.support.cloud import CloudServer, Fault, FaultKind, Reply, cloud_server, open_cloud
from tests.support.ebs import ebs_error, only_snapshot
from tests.support.faults import FOREVER, Request

SETTINGS = TransportSettings(policy=RetryPolicy(max_attempts=4, first_delay=0.01))
INDEXES = (0, 150, 151)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def store(server: CloudServer) -> EbsSnapshotStore:
    cloud = open_cloud(server, settings=SETTINGS)
    return EbsSnapshotStore(cloud.ebs(), cloud.ec2(), cloud.transport)


@pytest.fixture
def reader(server: CloudServer) -> EbsBlockReader:
    cloud = open_cloud(server, settings=SETTINGS)
    return EbsBlockReader(cloud.ebs(), cloud.transport)


def block(index: int) -> bytes:
    return bytes([index + 1]) * BLOCK_SIZE


def put(store: EbsSnapshotStore, snapshot_id: str, index: int) -> None:
    data = block(index)
    store.put(snapshot_id, index, data, checksum=sha256(data).digest())


def complete(store: EbsSnapshotStore, snapshot_id: str, *, may_be_done: bool = False) -> None:
    digests = b"".join(sha256(block(index)).digest() for index in INDEXES)
    store.complete(
        snapshot_id,
        block_count=len(INDEXES),
        checksum=sha256(digests).digest(),
        may_be_done=may_be_done,
    )


@pytest.fixture
def pending(store: EbsSnapshotStore) -> str:
    """A snapshot that has its blocks."""
    snapshot_id = store.start(SnapshotRequest(volume_size=1), token="a")  # noqa: S106 - no secret
    for index in INDEXES:
        put(store, snapshot_id, index)
    return snapshot_id


def test_blocks_are_read_through_faults(
    server: CloudServer, store: EbsSnapshotStore, reader: EbsBlockReader, pending: str
) -> None:
    complete(store, pending)
    server.faults.add(
        Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", path="/blocks/0", at=1000),
        Fault(kind=FaultKind.CLOSE_RESPONSE, method="GET", path="/blocks/151", at=1000),
    )
    for index in (0, 1, 149, 150, 151, 152, 2047):
        expected = block(index) if index in INDEXES else None
        assert reader.read_block(pending, index) == expected
    server.faults.add(
        Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", path="/blocks/0", times=FOREVER)
    )
    with pytest.raises(TransferError, match=r"block 0 of .*: expected checksum .*tried 4 times"):
        reader.read_block(pending, 0)


def test_of_a_block_without_an_end_little_is_read(
    server: CloudServer,
    store: EbsSnapshotStore,
    reader: EbsBlockReader,
    pending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complete(store, pending)
    taken: list[int] = []
    read = HTTPResponse.read

    def counting_read(body: HTTPResponse, amt: int | None = None, **more: Any) -> bytes:
        data = read(body, amt, **more)
        taken.append(len(data))
        return data

    monkeypatch.setattr(HTTPResponse, "read", counting_read)
    endless = Reply(status="200 OK", body=bytes(8 * BLOCK_SIZE), headers=(("x-amz-Checksum", "x"),))
    server.intercept = lambda request: endless if "/blocks/0" in request.path else None
    with pytest.raises(TransferError, match=r"expected checksum x.*tried 4 times"):
        reader.read_block(pending, 0)
    assert [size for size in taken if size >= BLOCK_SIZE] == [BLOCK_SIZE + 1] * 4


def test_blocks_come_in_order_and_only_so_many_ahead(
    store: EbsSnapshotStore, reader: EbsBlockReader, pending: str, server: CloudServer
) -> None:
    complete(store, pending)
    assert list(reader.list_blocks(pending)) == list(INDEXES)
    asked: list[int] = []

    def indexes() -> Iterator[int]:
        for index in (*INDEXES, 7) * 8:
            asked.append(index)
            yield index

    server.ebs.expire_tokens()
    for count, found in enumerate(reader.read_blocks(pending, indexes()), 1):
        index = (*INDEXES, 7)[(count - 1) % 4]
        assert found == (block(index) if index in INDEXES else None)
        # That one and those that wait; twice as many as there are requests side by side.
        assert len(asked) <= count + 2 * SETTINGS.concurrency


def test_reading_ends_when_it_is_cancelled(
    server: CloudServer, store: EbsSnapshotStore, reader: EbsBlockReader, pending: str
) -> None:
    complete(store, pending)
    is_asked, may_go = threading.Event(), threading.Event()

    def hold(request: Request) -> None:
        if "/blocks/150" in request.path:
            is_asked.set()
            assert may_go.wait(60)

    server.intercept = hold
    ends: list[BaseException] = []

    def read() -> None:
        try:
            list(reader.read_blocks(pending, INDEXES))
        except CancelledError as error:
            ends.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert is_asked.wait(60)
    reader.cancel()
    thread.join(30)
    assert ends, "it waits for a request"
    may_go.set()
    server.intercept = lambda request: None
    assert len(list(reader.read_blocks(pending, INDEXES))) == len(INDEXES)


def test_a_token_that_never_holds_is_a_refusal(
    server: CloudServer, store: EbsSnapshotStore, reader: EbsBlockReader, pending: str
) -> None:
    complete(store, pending)

    def intercept(request: Request) -> None:
        if "/blocks/150" in request.path:
            server.ebs.expire_tokens()

    server.intercept = intercept
    with pytest.raises(AwsRefusedError, match=r"get block 150 .*ValidationException"):
        reader.read_block(pending, 150)
    assert len(server.find("GET", f"/snapshots/{pending}/blocks/150")) == TOKEN_ATTEMPTS


def test_an_empty_page_is_not_the_end(
    server: CloudServer, store: EbsSnapshotStore, reader: EbsBlockReader, pending: str
) -> None:
    complete(store, pending)
    empty = json.dumps({"Blocks": [], "NextToken": "eA=="}).encode()
    fields = (("Content-Type", "application/json"),)
    pages = [
        Reply(status="200 OK", body=empty, headers=fields),
        Reply(status="200 OK", body=empty, headers=fields),
    ]
    server.intercept = lambda request: pages.pop() if "maxResults" in request.query else None
    with pytest.raises(TransferError, match="EBS does not go on"):
        reader.read_block(pending, 0)
    blocks = [{"BlockIndex": index, "BlockToken": "eA=="} for index in (4, 4)]
    pages.append(Reply(status="200 OK", body=json.dumps({"Blocks": blocks}).encode()))
    with pytest.raises(TransferError, match="expected an index above 4, got 4"):
        list(reader.list_blocks(pending))


def test_sealed_twice(server: CloudServer, store: EbsSnapshotStore, pending: str) -> None:
    """A second time is refused; whether that is a success the snapshot's state tells."""
    with pytest.raises(TransferError, match=r"count is wrong.*still pending .tried 4 times"):
        store.complete(pending, block_count=1, checksum=b"", may_be_done=True)
    complete(store, pending)
    with pytest.raises(AwsRefusedError, match="is not pending"):
        complete(store, pending)
    complete(store, pending, may_be_done=True)
    found = store.describe(pending)
    assert found is not None
    assert found.state is SnapshotState.COMPLETED
    assert store.describe("snap-00000000") is None


def test_sealing_takes_its_time(server: CloudServer, store: EbsSnapshotStore, pending: str) -> None:
    """The reply was lost, the same request is refused, and EC2 shows it as pending for a while."""
    server.faults.add(Fault(kind=FaultKind.DROP_RESPONSE, path="/completion/"))
    snapshot = only_snapshot(server.ebs)
    looks: list[Request] = []

    def intercept(request: Request) -> None:
        if request.path == "/":
            looks.append(request)
            snapshot.shown.status = "pending" if len(looks) < 3 else "completed"

    server.intercept = intercept
    complete(store, pending)
    assert len(looks) == 3


def test_a_lost_snapshot_is_a_refusal_once_it_was_known(
    server: CloudServer, store: EbsSnapshotStore, pending: str
) -> None:
    refusals: list[Request] = []

    def intercept(request: Request) -> Reply:
        refusals.append(request)
        return ebs_error("404 Not Found", "ResourceNotFoundException")

    server.intercept = intercept
    with pytest.raises(AwsRefusedError, match="EBS gives up a snapshot"):
        put(store, pending, 0)
    assert len(refusals) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>welcome</html>"])
def test_an_answer_of_somebody_else(
    server: CloudServer, store: EbsSnapshotStore, pending: str, body: bytes
) -> None:
    server.intercept = lambda request: Reply(status="200 OK", body=body)
    with pytest.raises(TransferError, match="tried 4 times"):
        put(store, pending, 0)
    with pytest.raises(TransferError, match="tried 4 times"):
        complete(store, pending)
    with pytest.raises(TransferError, match="tried 4 times"):
        store.start(SnapshotRequest(volume_size=1), token="b")  # noqa: S106 - no secret
