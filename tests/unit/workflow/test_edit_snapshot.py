"""A snapshot that is made of another one, against a store in memory."""

from dataclasses import dataclass, field

import pytest

from bundler.errors import AwsRefusedError
from bundler.model.snapshot import BLOCK_SIZE, Snapshot, SnapshotRequest, SnapshotState
from bundler.workflow.edit_snapshot import MAX_START_COUNT, edit_snapshot

REQUEST = SnapshotRequest(volume_size=1)


@dataclass(slots=True)
class MemoryStore:
    """A SnapshotStore that gives each token its own snapshot; the first ones are given up."""

    given_up: int = 0
    concurrency: int = 1
    ids: dict[str, str] = field(default_factory=dict)
    written: dict[str, dict[int, bytes]] = field(default_factory=dict)
    completed: list[str] = field(default_factory=list)

    def start(self, request: SnapshotRequest, *, token: str) -> str:
        assert request.parent_id == "snap-parent"
        return self.ids.setdefault(token, f"snap-{len(self.ids)}")

    def put(self, snapshot_id: str, index: int, block: bytes, *, checksum: bytes) -> None:
        self.written.setdefault(snapshot_id, {})[index] = block

    def complete(
        self, snapshot_id: str, *, block_count: int, checksum: bytes, may_be_done: bool
    ) -> None:
        self.completed.append(snapshot_id)

    def describe(self, snapshot_id: str) -> Snapshot | None:
        state = SnapshotState.PENDING
        if int(snapshot_id.removeprefix("snap-")) < self.given_up:
            state = SnapshotState.ERROR
        elif snapshot_id in self.completed:
            state = SnapshotState.COMPLETED
        return Snapshot(snapshot_id=snapshot_id, state=state)

    def cancel(self) -> None:
        raise AssertionError("nothing is under way")


class Zeros:
    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        return None


def edit(store: MemoryStore) -> str:
    return edit_snapshot("snap-parent", [(BLOCK_SIZE - 1, b"ab")], REQUEST, Zeros(), store)


@pytest.mark.parametrize("given_up", [0, 1, MAX_START_COUNT - 1])
def test_what_ebs_has_given_up_is_not_gone_on_with(given_up: int) -> None:
    store = MemoryStore(given_up=given_up)
    snapshot_id = edit(store)
    assert snapshot_id == f"snap-{given_up}"
    assert list(store.written) == store.completed == [snapshot_id]
    first, second = store.written[snapshot_id][0], store.written[snapshot_id][1]
    assert (first, second) == (bytes(BLOCK_SIZE - 1) + b"a", b"b" + bytes(BLOCK_SIZE - 1))
    assert edit(store) == snapshot_id
    assert store.completed == [snapshot_id]


def test_there_is_an_end_to_it() -> None:
    store = MemoryStore(given_up=MAX_START_COUNT)
    with pytest.raises(AwsRefusedError, match=r"got snap-7 in state error; --no-resume"):
        edit(store)
    assert store.written == {}
