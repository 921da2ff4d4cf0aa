"""What tests ask of the embedded EBS direct APIs, and of the state files of their clients."""

import json
from pathlib import Path

from bundler.embedded.ebs import BLOCK_SIZE, EbsSnapshot, EmbeddedEbs
from bundler.embedded.ebs_application import DirectSnapshot
from tests.support.faults import Reply


def only_snapshot(ebs: EmbeddedEbs) -> EbsSnapshot:
    """The only snapshot there is."""
    (snapshot,) = ebs.snapshots.values()
    return snapshot


def written_blocks(ebs: EmbeddedEbs) -> list[int]:
    """Blocks that were taken, each as often as it was."""
    return [
        request.index
        for request in ebs.requests
        if request.operation == "PutSnapshotBlock" and not request.code
    ]


def lose_snapshot(ebs: EmbeddedEbs, snapshot_id: str) -> None:
    """Let a snapshot be gone, as one is that nobody completes."""
    shown = ebs.snapshots[snapshot_id].shown
    assert isinstance(shown, DirectSnapshot)
    del shown.ec2_backend.snapshots[snapshot_id]


def clear_snapshots(ebs: EmbeddedEbs) -> None:
    """Forget all snapshots and requests."""
    for snapshot_id in ebs.snapshots:
        lose_snapshot(ebs, snapshot_id)
    ebs.requests.clear()


def volume_start(snapshot: EbsSnapshot, size: int) -> bytes:
    """The first bytes of the volume, put together from its blocks."""
    volume = bytearray(size)
    for index, block in snapshot.blocks.items():
        piece = block[: max(0, size - index * BLOCK_SIZE)]
        volume[index * BLOCK_SIZE : index * BLOCK_SIZE + len(piece)] = piece
    return bytes(volume)


def remembered_blocks(directory: Path) -> set[int]:
    """Blocks of which a state file of ours says that they are finished."""
    lines = [line for path in directory.iterdir() for line in path.read_text().split("\n")[:-1]]
    return {record["block"] for record in map(json.loads, lines) if "block" in record}


def ebs_error(status: str, code: str) -> Reply:
    """An error of the service that a test gives in its stead."""
    fields = (("x-amzn-ErrorType", code), ("Content-Type", "application/json"))
    return Reply(status=status, body=b'{"Message": "It is so."}', headers=fields)
