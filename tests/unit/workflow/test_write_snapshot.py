"""Writing and waiting for snapshots against a store in memory."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

from bundler.errors import BundlerError, InputError, TransferError
from bundler.host.state_file import MAX_STATE_SIZE, StateFile
from bundler.model.snapshot import BLOCK_SIZE, Snapshot, SnapshotRequest, SnapshotState
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog
from bundler.workflow.write_snapshot import write_snapshot

REQUEST = SnapshotRequest(volume_size=1)
TOKEN = "t"  # noqa: S105 - a client token is no secret


@dataclass(slots=True)
class MemorySnapshotStore:
    """A SnapshotStore with one snapshot."""

    concurrency: int = 1
    states: list[SnapshotState | None] = field(default_factory=list)
    """What describe() tells, one after another; the last one for ever."""
    blocks: dict[int, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    failure: BundlerError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, request: SnapshotRequest, *, token: str) -> str:
        self.calls.append(f"start {token}")
        return "snap-1"

    def put(self, snapshot_id: str, index: int, block: bytes, *, checksum: bytes) -> None:
        if self.failure:
            raise self.failure
        with self._lock:
            self.blocks[index] = block

    def complete(
        self, snapshot_id: str, *, block_count: int, checksum: bytes, may_be_done: bool
    ) -> None:
        digests = [sha256(self.blocks[index]).digest() for index in sorted(self.blocks)]
        assert checksum == sha256(b"".join(digests)).digest()
        self.calls.append(f"complete {block_count}")

    def describe(self, snapshot_id: str) -> Snapshot | None:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return Snapshot(snapshot_id=snapshot_id, state=state, message="why") if state else None

    def cancel(self) -> None:
        self.calls.append("cancel")


def write(
    store: MemorySnapshotStore,
    runs: Iterator[tuple[int, bytes]],
    earlier: EarlierSnapshot | None = None,
) -> str:
    written = write_snapshot(
        runs, REQUEST, store, SnapshotLog(None, {}), earlier=earlier, new_token=lambda: TOKEN
    )
    return written.snapshot_id


def test_few_blocks_are_in_memory_at_a_time() -> None:
    """The source is asked for a block only when enough of those before it have arrived."""
    store = MemorySnapshotStore(concurrency=3)
    most = 0

    def runs() -> Iterator[tuple[int, bytes]]:
        nonlocal most
        for index in range(100):
            most = max(most, index - len(store.blocks))
            yield index * BLOCK_SIZE, bytes([index + 1]) * BLOCK_SIZE

    assert write(store, runs()) == "snap-1"
    assert len(store.blocks) == 100
    # Six that wait or are sent, and of those behind them one in hand and one half made.
    assert 1 < most <= 8
    assert store.calls == [f"start {TOKEN}", "complete 100"]


def test_a_source_that_breaks_seals_nothing() -> None:
    store = MemorySnapshotStore()

    def runs() -> Iterator[tuple[int, bytes]]:
        yield 0, b"x" * 2 * BLOCK_SIZE
        raise InputError("it broke")

    with pytest.raises(InputError, match="it broke"):
        write(store, runs())
    assert set(store.calls) == {f"start {TOKEN}", "cancel"}


def test_zeros_alone_start_no_snapshot() -> None:
    store = MemorySnapshotStore()
    with pytest.raises(InputError, match="nothing but zeros"):
        write(store, iter([(0, bytes(BLOCK_SIZE + 1))]))
    assert store.calls == []


def test_what_was_sealed_is_not_changed() -> None:
    block = b"x" * BLOCK_SIZE
    store = MemorySnapshotStore(states=[SnapshotState.COMPLETED], blocks={0: block})
    earlier = EarlierSnapshot(
        token=TOKEN,
        snapshot_id="snap-1",
        checksums={0: sha256(block).digest()},
        may_be_complete=True,
    )
    assert write(store, iter([(0, block)]), earlier) == "snap-1"
    assert store.calls == ["complete 1"]
    with pytest.raises(InputError, match="block 0 of the image is another now; --no-resume"):
        write(store, iter([(0, b"y")]), earlier)


def test_a_failed_block_ends_the_run() -> None:
    store = MemorySnapshotStore(failure=TransferError("no"))
    with pytest.raises(TransferError, match="no"):
        write(store, iter([(0, b"x" * 50 * BLOCK_SIZE)]))
    assert "complete" not in " ".join(store.calls)


def test_a_run_whose_state_is_too_large_is_not_forgotten_silently(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFile.open(path, work="testing") as file:
        log = SnapshotLog(file, {})
        log.begin(TOKEN)
        log.keep_id("snap-1")
        assert isinstance(log.load(), EarlierSnapshot)
        with path.open("r+b") as whole:
            whole.truncate(MAX_STATE_SIZE)
        assert log.load() != "its state is too large to be read"
        with path.open("r+b") as whole:
            whole.truncate(MAX_STATE_SIZE + 1)
        assert log.load() == "its state is too large to be read"
