"""A snapshot with a few bytes of another one changed: only the blocks concerned are sent."""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from bundler.errors import AwsRefusedError
from bundler.model.snapshot import BLOCK_SIZE, SnapshotRequest, SnapshotState
from bundler.workflow.snapshot_ports import SnapshotReader, SnapshotStore

MAX_START_COUNT = 8
"""Most snapshots that earlier runs may have left to EBS unfinished; our choice."""


def edit_snapshot(
    parent_id: str,
    changes: Iterable[tuple[int, bytes]],
    request: SnapshotRequest,
    reader: SnapshotReader,
    store: SnapshotStore,
) -> str:
    """Make a snapshot that is the completed `parent_id` but for `changes` (offset, bytes); its id.

    `request` is the one that the parent was made with.  The same parent and changes give the
    same snapshot: a run that was interrupted goes on with it, unless EBS has given it up.

    Raises:
        AwsRefusedError, TransferError: EBS refuses, or cannot be reached.
    """
    blocks = _changed_blocks(reader, parent_id, changes)
    digests = {index: sha256(block).digest() for index, block in blocks.items()}
    linear = sha256(b"".join(digests[index] for index in sorted(digests))).digest()
    # A token is for one request: what was changed is part of it.
    token = sha256(parent_id.encode() + linear).hexdigest()
    snapshot_id, state = _start(replace(request, parent_id=parent_id), store, token)
    if state is SnapshotState.COMPLETED:
        return snapshot_id
    for index, block in blocks.items():
        store.put(snapshot_id, index, block, checksum=digests[index])
    store.complete(snapshot_id, block_count=len(blocks), checksum=linear, may_be_done=True)
    return snapshot_id


def _start(request: SnapshotRequest, store: SnapshotStore, token: str) -> tuple[str, SnapshotState]:
    """The snapshot of a token, or, when that can be no more, of the next one after it."""
    for _ in range(MAX_START_COUNT):
        snapshot_id = store.start(request, token=token)
        found = store.describe(snapshot_id)
        state = found.state if found else SnapshotState.PENDING
        if state in (SnapshotState.PENDING, SnapshotState.COMPLETED):
            return snapshot_id, state
        token = sha256(f"{token}\n{snapshot_id}".encode()).hexdigest()
    raise AwsRefusedError(
        f"edit snapshot {request.parent_id}: expected a snapshot that can be written, got "
        f"{snapshot_id} in state {state.value}; --no-resume begins anew"
    )


def _changed_blocks(
    reader: SnapshotReader, snapshot_id: str, changes: Iterable[tuple[int, bytes]]
) -> dict[int, bytes]:
    """The blocks that the changes touch, as they are to be, by index."""
    blocks: dict[int, bytearray] = {}
    for offset, data in changes:
        position = 0
        while position < len(data):
            index, start = divmod(offset + position, BLOCK_SIZE)
            if index not in blocks:
                found = reader.read_block(snapshot_id, index)
                blocks[index] = bytearray(BLOCK_SIZE if found is None else found)
            size = min(len(data) - position, BLOCK_SIZE - start)
            blocks[index][start : start + size] = data[position : position + size]
            position += size
    return {index: bytes(block) for index, block in blocks.items()}
