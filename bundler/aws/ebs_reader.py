"""Blocks of completed snapshots (EBS direct APIs)."""

import base64
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    InvalidStateError,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bundler.aws.ebs import refusal_reason
from bundler.aws.pages import read_pages
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.snapshot import BLOCK_SIZE

if TYPE_CHECKING:
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ebs.type_defs import (
        ListSnapshotBlocksRequestTypeDef,
        ListSnapshotBlocksResponseTypeDef,
    )

PAGE_SIZE = 1000
"""Most blocks that are asked for at a time.  Our choice; ListSnapshotBlocks, `MaxResults`: 100 to
10000."""

TOKEN_ATTEMPTS = 4
"""Most tokens that a block is asked for with.  Our choice: the first may have expired, and the
next one as well if another listing came between."""

STALE_TOKEN = "INVALID_BLOCK_TOKEN"  # noqa: S105 - the reason of a refusal
"""Reason of a ValidationException: tokens hold for 7 days, or until the snapshot is listed again.
Source: EBS user guide, block tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What a listing tells of the blocks from `first` to before `end`: their tokens."""

    snapshot_id: str
    first: int
    end: int
    tokens: Mapping[int, str]


_NO_PAGE = _Page(snapshot_id="", first=0, end=0, tokens={})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Blocks that are read one after another until the last one, or until stop()."""

    stopped: threading.Event = field(default_factory=threading.Event)
    ended: "Future[bytes | None]" = field(default_factory=Future)

    def stop(self) -> None:
        self.stopped.set()
        with suppress(InvalidStateError):  # it is stopped already
            self.ended.set_result(None)

    def result(self, future: "Future[bytes | None]") -> bytes | None:
        """What a future brings, or CancelledError at once when it is stopped."""
        wait((future, self.ended), return_when=FIRST_COMPLETED)
        if not future.done():
            raise CancelledError
        return future.result()


class EbsBlockReader:
    """The SnapshotBlocks of workflow/snapshot_ports.py.

    Tokens are kept of one page of the listing, whatever the snapshot's size.
    """

    def __init__(self, client: "EBSClient", transport: Transport) -> None:
        self._client = client
        self._transport = transport
        self._lock = threading.Lock()
        self._page = _NO_PAGE
        self._reading = _Reading()

    def list_blocks(self, snapshot_id: str) -> Iterator[int]:
        """ListSnapshotBlocks: the indexes of all blocks that were ever written, in order.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or its answer makes no sense.
        """
        last = -1
        for page in self._pages(snapshot_id, 0):
            for block in page["Blocks"]:
                index = block["BlockIndex"]
                if index <= last:
                    raise TransferError(
                        f"list blocks of snapshot {snapshot_id}: expected an index above {last}, "
                        f"got {index}"
                    )
                yield index
                last = index

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        """GetSnapshotBlock, verified; None when the snapshot has no such block: it is zeros.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or the block came damaged.
        """
        return self._read_block(snapshot_id, threading.Event(), index)

    def read_blocks(
        self, snapshot_id: str, indexes: Iterable[int]
    ) -> Generator[bytes | None, None, None]:
        """Blocks as by read_block(), side by side, in the order of their indexes.

        Memory: twice as many blocks as there are requests side by side.

        Raises:
            AwsRefusedError, TransferError: as read_block().
            CancelledError: cancel() was called.
        """
        waiting: deque[Future[bytes | None]] = deque()
        concurrency = self._transport.settings.concurrency
        self._reading = reading = _Reading()
        fetch = partial(self._read_block, snapshot_id, reading.stopped)
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="get-block")
        try:
            for index in indexes:
                if len(waiting) == 2 * concurrency:
                    yield reading.result(waiting.popleft())
                waiting.append(pool.submit(fetch, index))
            while waiting:
                yield reading.result(waiting.popleft())
        finally:
            reading.stop()
            # Not waited for: a connection may hang.
            pool.shutdown(wait=False, cancel_futures=True)

    def cancel(self) -> None:
        """End the read_blocks() that is under way, without waiting for what is on its way."""
        self._reading.stop()

    def _read_block(self, snapshot_id: str, stopped: threading.Event, index: int) -> bytes | None:
        refused = ""
        for attempts_left in reversed(range(TOKEN_ATTEMPTS)):
            token = self._find_token(snapshot_id, index, refused, stopped)
            if not token:
                return None
            try:
                return self._get(snapshot_id, index, token, stopped)
            except AwsRefusedError as error:
                if refusal_reason(error) != STALE_TOKEN or not attempts_left:
                    raise
            refused = token
        raise AssertionError("the last attempt returns or raises")

    def _get(self, snapshot_id: str, index: int, token: str, stopped: threading.Event) -> bytes:
        subject = f"get block {index} of snapshot {snapshot_id}"

        def attempt() -> bytes:
            self._transport.bandwidth.take(BLOCK_SIZE, stopped)
            if stopped.is_set():
                raise CancelledError
            answer = self._client.get_snapshot_block(
                SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token
            )
            with answer["BlockData"] as body:
                data = body.read(BLOCK_SIZE + 1)
            got = base64.b64encode(sha256(data).digest()).decode()
            if got != answer["Checksum"]:
                raise TransferError(f"{subject}: expected checksum {answer['Checksum']}, got {got}")
            if len(data) != BLOCK_SIZE:
                raise TransferError(f"{subject}: expected {BLOCK_SIZE} bytes, got {len(data)}")
            return data

        return self._transport.call(subject, attempt, stopped=stopped)

    def _find_token(
        self, snapshot_id: str, index: int, refused: str, stopped: threading.Event
    ) -> str:
        """What lets a block be read, but not `refused` again; empty when there is no block."""
        with self._lock:  # whoever else needs the same page waits for it
            page = self._page
            is_known = page.snapshot_id == snapshot_id and page.first <= index < page.end
            if not is_known or (refused and page.tokens.get(index) == refused):
                self._page = page = self._list_from(snapshot_id, index, stopped)
            return page.tokens.get(index, "")

    def _list_from(self, snapshot_id: str, first: int, stopped: threading.Event) -> _Page:
        """The first page with any blocks from `first` on; without any it reaches to the end."""
        for answer in self._pages(snapshot_id, first, stopped):
            blocks, is_last = answer["Blocks"], not answer.get("NextToken")
            if blocks or is_last:
                return _Page(
                    snapshot_id=snapshot_id,
                    first=first,
                    end=sys.maxsize if is_last else blocks[-1]["BlockIndex"] + 1,
                    tokens={block["BlockIndex"]: block["BlockToken"] for block in blocks},
                )
        raise AssertionError("there is a last page")

    def _pages(
        self, snapshot_id: str, first: int, stopped: threading.Event | None = None
    ) -> "Iterator[ListSnapshotBlocksResponseTypeDef]":
        """ListSnapshotBlocks."""
        subject = f"list blocks of snapshot {snapshot_id}"
        request: ListSnapshotBlocksRequestTypeDef = {
            "SnapshotId": snapshot_id,
            "StartingBlockIndex": first,
            "MaxResults": PAGE_SIZE,
        }
        return read_pages(
            lambda more: self._transport.call(
                subject, partial(self._list, request, more), stopped=stopped
            ),
            f"{subject}: EBS does not go on",
        )

    def _list(
        self, request: "ListSnapshotBlocksRequestTypeDef", more: Mapping[str, Any]
    ) -> "ListSnapshotBlocksResponseTypeDef":
        """One request; all that is needed of the answer is in it."""
        answer = self._client.list_snapshot_blocks(**request, **more)
        for block in answer["Blocks"]:
            _ = block["BlockIndex"], block["BlockToken"]
        return answer
