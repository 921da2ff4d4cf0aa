"""An image's data to an EBS snapshot: only blocks that are not all zeros, and resumable."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain

from bundler.errors import InputError
from bundler.model.bundle import Chunk
from bundler.model.snapshot import BLOCK_SIZE, SnapshotRequest, SnapshotState
from bundler.stages.blocks import to_blocks
from bundler.workflow.snapshot_ports import SnapshotStore
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog

GRACE = 2.0
"""Most seconds that a failed run waits for blocks that are on their way: a connection may hang."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSnapshot:
    """A sealed snapshot, and what was done for it."""

    snapshot_id: str
    block_count: int
    sent_count: int
    """Blocks that were sent now; the others are of an earlier run."""


def write_snapshot(
    runs: Iterable[tuple[int, Chunk]],
    request: SnapshotRequest,
    store: SnapshotStore,
    log: SnapshotLog,
    *,
    earlier: EarlierSnapshot | None,
    new_token: Callable[[], str],
) -> WrittenSnapshot:
    """Write an image's data (offset, bytes), in order, into a snapshot, and seal it.

    Nothing can be made of the snapshot before it is sealed, which is done when `runs` has
    ended without an error.  With `earlier` its snapshot is gone on with: blocks that it has
    taken, with the same checksum, are not sent again.

    Memory: twice as many blocks as the store sends side by side.

    Raises:
        InputError: there is nothing but zeros, or the image is not the one that was sealed.
        AwsRefusedError, TransferError: EBS refuses, or cannot be reached.
        HostError: the state cannot be written.
    """
    blocks = to_blocks(runs, BLOCK_SIZE)
    first = next(blocks, None)
    if first is None:
        raise InputError("write snapshot: the image holds nothing but zeros")
    try:
        snapshot_id, earlier = _start(request, store, log, earlier, new_token)
        sender = _BlockSender(snapshot_id, store, log, earlier)
        sender.send_all(chain((first,), blocks))
        checksums = sender.checksums
        linear = sha256(b"".join(checksums[index] for index in sorted(checksums))).digest()
        log.keep_completing()
        store.complete(
            snapshot_id,
            block_count=len(checksums),
            checksum=linear,
            may_be_done=earlier.may_be_complete,
        )
    except BaseException:
        store.cancel()
        log.close()
        raise
    return WrittenSnapshot(
        snapshot_id=snapshot_id, block_count=len(checksums), sent_count=sender.sent_count
    )


def _start(
    request: SnapshotRequest,
    store: SnapshotStore,
    log: SnapshotLog,
    earlier: EarlierSnapshot | None,
    new_token: Callable[[], str],
) -> tuple[str, EarlierSnapshot]:
    """The snapshot to write to, and what it holds already."""
    if earlier is not None and earlier.snapshot_id:
        found = store.describe(earlier.snapshot_id)
        if found is not None and found.state in (SnapshotState.PENDING, SnapshotState.COMPLETED):
            return earlier.snapshot_id, earlier
        state = "is gone" if found is None else f"is in state {found.state.value}"
        _logger.warning("snapshot %s %s: another one is started", earlier.snapshot_id, state)
        earlier = None
    if earlier is None:
        earlier = EarlierSnapshot(token=new_token())
        log.begin(earlier.token)
    snapshot_id = store.start(request, token=earlier.token)
    log.keep_id(snapshot_id)
    return snapshot_id, earlier


class _BlockSender:
    """Sends blocks side by side, and keeps account of what the snapshot holds."""

    def __init__(
        self, snapshot_id: str, store: SnapshotStore, log: SnapshotLog, earlier: EarlierSnapshot
    ) -> None:
        self.checksums: dict[int, bytes] = {}
        self.sent_count = 0
        self._snapshot_id = snapshot_id
        self._store = store
        self._log = log
        self._earlier = earlier
        self._lock = threading.Lock()

    def send_all(self, blocks: Iterable[tuple[int, bytes]]) -> None:
        """Send what the snapshot does not hold yet; returns when all of it has arrived."""
        waiting: deque[Future[None]] = deque()
        most = 2 * self._store.concurrency
        pool = ThreadPoolExecutor(self._store.concurrency, thread_name_prefix="block")
        try:
            for index, block in blocks:
                if len(waiting) == most:
                    waiting.popleft().result()
                waiting.append(pool.submit(self._send, index, block))
            while waiting:
                waiting.popleft().result()
            # Of a device that has changed: nothing tells but its bytes.
            for index in sorted(self._earlier.checksums.keys() - self.checksums.keys()):
                self._send(index, bytes(BLOCK_SIZE))
        except BaseException:
            self._store.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            # What is on its way may still arrive, and then it need not be sent again.
            wait(waiting, timeout=GRACE)
            raise
        pool.shutdown()

    def _send(self, index: int, block: bytes) -> None:
        checksum = sha256(block).digest()
        is_held = self._earlier.checksums.get(index) == checksum
        if not is_held:
            if self._earlier.may_be_complete:
                self._check_open(index)
            self._store.put(self._snapshot_id, index, block, checksum=checksum)
            self._log.keep_block(index, checksum)
        with self._lock:
            self.checksums[index] = checksum
            self.sent_count += not is_held

    def _check_open(self, index: int) -> None:
        """Refuse to change what an earlier run has sealed."""
        found = self._store.describe(self._snapshot_id)
        if found is not None and found.state is SnapshotState.COMPLETED:
            raise InputError(
                f"write snapshot {self._snapshot_id}: an earlier run has completed it, but block "
                f"{index} of the image is another now; --no-resume makes a new snapshot"
            )
