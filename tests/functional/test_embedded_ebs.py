"""Our double of the EBS direct APIs refuses what AWS refuses: else it would prove nothing."""

import base64
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bundler.embedded.ebs import BLOCK_SIZE, PAGE_SIZE, PAGE_SPAN
from tests.support.cloud import REGION, CloudServer, cloud_server, open_cloud
from tests.support.ebs import only_snapshot

if TYPE_CHECKING:
    from mypy_boto3_ebs import EBSClient

BLOCK = b"x" * BLOCK_SIZE


def checksum(data: bytes) -> str:
    return base64.b64encode(sha256(data).digest()).decode()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def client(server: CloudServer) -> "EBSClient":
    return boto3.client("ebs", region_name=REGION, endpoint_url=server.url)


def put(client: "EBSClient", snapshot_id: str, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "SnapshotId": snapshot_id,
        "BlockIndex": 0,
        "BlockData": BLOCK,
        "DataLength": BLOCK_SIZE,
        "Checksum": checksum(BLOCK),
        "ChecksumAlgorithm": "SHA256",
    }
    client.put_snapshot_block(**{**arguments, **changes})


def complete(client: "EBSClient", snapshot_id: str, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "SnapshotId": snapshot_id,
        "ChangedBlocksCount": 1,
        "Checksum": checksum(sha256(BLOCK).digest()),
        "ChecksumAlgorithm": "SHA256",
        "ChecksumAggregationMethod": "LINEAR",
    }
    client.complete_snapshot(**{**arguments, **changes})


def refused(code: str) -> "pytest.RaisesExc[ClientError]":
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_it_refuses_what_is_wrong(client: "EBSClient", server: CloudServer) -> None:
    with refused("ValidationException"):
        client.start_snapshot(VolumeSize=70000)
    first = client.start_snapshot(VolumeSize=1, ClientToken="a")
    assert first["BlockSize"] == BLOCK_SIZE
    snapshot_id = first["SnapshotId"]
    assert client.start_snapshot(VolumeSize=1, ClientToken="a")["SnapshotId"] == snapshot_id
    with refused("ConflictException"):
        client.start_snapshot(VolumeSize=2, ClientToken="a")
    with refused("ResourceNotFoundException"):
        put(client, "snap-0")
    for change in (
        {"BlockIndex": 2048},
        {"Checksum": checksum(b"y")},
        {"DataLength": 512},
        {"BlockData": b"x", "Checksum": checksum(b"x")},
    ):
        with refused("ValidationException"):
            put(client, snapshot_id, **change)
    put(client, snapshot_id)
    with refused("ValidationException"):
        client.list_snapshot_blocks(SnapshotId=snapshot_id)
    for changed in ({"ChangedBlocksCount": 2}, {"Checksum": checksum(BLOCK)}):
        with refused("ValidationException"):
            complete(client, snapshot_id, **changed)
    assert only_snapshot(server.ebs).state == "pending"
    complete(client, snapshot_id)
    with refused("ValidationException"):
        complete(client, snapshot_id)
    with refused("ValidationException"):
        put(client, snapshot_id)
    (block,) = client.list_snapshot_blocks(SnapshotId=snapshot_id)["Blocks"]
    with refused("ValidationException"):
        client.get_snapshot_block(SnapshotId=snapshot_id, BlockIndex=0, BlockToken="eA==")
    got = client.get_snapshot_block(SnapshotId=snapshot_id, **block)
    assert got["BlockData"].read() == BLOCK
    server.ebs.expire_tokens()
    with refused("ValidationException"):
        client.get_snapshot_block(SnapshotId=snapshot_id, **block)


def test_it_pages(client: "EBSClient", server: CloudServer) -> None:
    snapshot_id = client.start_snapshot(VolumeSize=1)["SnapshotId"]
    snapshot = only_snapshot(server.ebs)
    snapshot.written_blocks.update((index * 3, BLOCK) for index in range(2 * PAGE_SIZE + 1))
    snapshot.shown.status = "completed"
    page = client.list_snapshot_blocks(SnapshotId=snapshot_id, StartingBlockIndex=1)
    sizes, indexes = [], []
    while True:
        indexes += [block["BlockIndex"] for block in page["Blocks"]]
        sizes.append(len(page["Blocks"]))
        if "NextToken" not in page:
            break
        page = client.list_snapshot_blocks(SnapshotId=snapshot_id, NextToken=page["NextToken"])
    assert sizes == [PAGE_SIZE, PAGE_SIZE]
    assert indexes == sorted(snapshot.blocks)[1:]
    snapshot.written_blocks = {PAGE_SPAN: BLOCK}
    empty = client.list_snapshot_blocks(SnapshotId=snapshot_id)
    assert empty["Blocks"] == []
    page = client.list_snapshot_blocks(SnapshotId=snapshot_id, NextToken=empty["NextToken"])
    last = client.list_snapshot_blocks(SnapshotId=snapshot_id, StartingBlockIndex=PAGE_SPAN + 1)
    assert [block["BlockIndex"] for block in page["Blocks"]] == [PAGE_SPAN]
    assert "NextToken" not in page
    assert last["Blocks"] == []
    with refused("ValidationException"):
        client.list_snapshot_blocks(SnapshotId=snapshot_id, NextToken="eA==")
    with refused("ValidationException"):
        client.list_snapshot_blocks(SnapshotId=snapshot_id, MaxResults=100001)


def test_a_child_has_its_parents_blocks(client: "EBSClient", server: CloudServer) -> None:
    parent_id = client.start_snapshot(VolumeSize=2)["SnapshotId"]
    put(client, parent_id, BlockIndex=3)
    with refused("ValidationException"):
        client.start_snapshot(VolumeSize=2, ParentSnapshotId=parent_id)
    complete(client, parent_id)
    with refused("ValidationException"):
        client.start_snapshot(VolumeSize=1, ParentSnapshotId=parent_id)
    with refused("ResourceNotFoundException"):
        client.start_snapshot(VolumeSize=2, ParentSnapshotId="snap-0")
    child = client.start_snapshot(VolumeSize=2, ParentSnapshotId=parent_id)
    assert child["ParentSnapshotId"] == parent_id
    put(client, child["SnapshotId"], BlockIndex=5)
    complete(client, child["SnapshotId"])
    open_cloud(server).ec2().delete_snapshot(SnapshotId=parent_id)
    with refused("ResourceNotFoundException"):
        client.list_snapshot_blocks(SnapshotId=parent_id)
    blocks = client.list_snapshot_blocks(SnapshotId=child["SnapshotId"])["Blocks"]
    assert [block["BlockIndex"] for block in blocks] == [3, 5]
