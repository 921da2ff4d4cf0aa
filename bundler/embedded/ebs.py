"""The embedded EBS direct APIs: snapshots block by block, as strict as AWS describes them.

moto's own take wrong checksums, counts and tokens, and never page.  Source of the rules: the
reference of the EBS direct APIs, and botocore's service model `ebs`.
"""

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from bundler.embedded.ebs_rules import EbsError, check_start, invalid

BLOCK_SIZE = 524288
"""Bytes of a block."""

BLOCKS_PER_GIB = 2048
"""Blocks of a GiB."""

PAGE_SIZE = 100
"""Most blocks of a page: AWS may give fewer than are asked for."""

PAGE_SPAN = 1024
"""Most indexes that a page looks at: one may be empty, and yet not be the last one."""


class ShownSnapshot(Protocol):
    """A snapshot as EC2 shows it; its state is the one of both services."""

    id: str
    status: str

    @property
    def is_gone(self) -> bool:
        """Whether EC2 has deleted it."""


@dataclass(slots=True, kw_only=True)
class EbsSnapshot:
    """A snapshot and the blocks that it has."""

    request: dict[str, Any] = field(repr=False)
    """The body of StartSnapshot."""
    shown: ShownSnapshot = field(repr=False)
    parent_blocks: dict[int, bytes] = field(default_factory=dict, repr=False)
    """Of the snapshot that this one goes on from."""
    written_blocks: dict[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def snapshot_id(self) -> str:
        """EC2's, and EBS's."""
        return self.shown.id

    @property
    def state(self) -> str:
        """Such as pending."""
        return self.shown.status

    @property
    def volume_size(self) -> int:
        """GiB."""
        return int(self.request["VolumeSize"])

    @property
    def blocks(self) -> dict[int, bytes]:
        """What a volume of it has."""
        return self.parent_blocks | self.written_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class EbsRequest:
    """One request that has reached the service, and what came of it."""

    operation: str
    snapshot_id: str = ""
    index: int = -1
    code: str = ""
    """Of the error; empty when it was done."""


class EmbeddedEbs:
    """The state of the service; for many threads."""

    def __init__(self) -> None:
        self.requests: list[EbsRequest] = []
        """All of them, in the order in which they were answered."""
        self._snapshots: dict[str, EbsSnapshot] = {}
        self._tokens: dict[str, str] = {}
        self._expired_count = 0
        self._lock = threading.Lock()

    @property
    def snapshots(self) -> dict[str, EbsSnapshot]:
        """Those that are there, by their ids."""
        return {key: made for key, made in self._snapshots.items() if not made.shown.is_gone}

    def expire_tokens(self) -> None:
        """Let the block tokens of all listings so far be valid no more, as after 7 days."""
        self._expired_count += 1

    def start(
        self, request: dict[str, Any], show: Callable[[dict[str, Any]], ShownSnapshot]
    ) -> EbsSnapshot:
        """StartSnapshot; `show` lets EC2 know a new one.

        Raises:
            EbsError: the request breaks a rule.
        """
        check_start(request)
        parent_blocks = self._parent_blocks(request)
        token = str(request.get("ClientToken", ""))
        with self._lock:
            if token in self._tokens:
                made = self._snapshots[self._tokens[token]]
                if made.request != request:
                    raise EbsError(409, "ConflictException", "The client token was used before.")
                return made
            made = EbsSnapshot(request=request, shown=show(request), parent_blocks=parent_blocks)
            self._snapshots[made.snapshot_id] = made
            if token:
                self._tokens[token] = made.snapshot_id
            return made

    def _parent_blocks(self, request: dict[str, Any]) -> dict[int, bytes]:
        parent_id = request.get("ParentSnapshotId")
        if parent_id is None:
            return {}
        parent = self._find_completed(parent_id)
        if request["VolumeSize"] < parent.volume_size:
            raise invalid("The volume is smaller than the parent's.", "INVALID_VOLUME_SIZE")
        return parent.blocks

    def put(self, snapshot_id: str, index: int, headers: dict[str, str], data: bytes) -> str:
        """PutSnapshotBlock; the checksum.

        Raises:
            EbsError: the request breaks a rule.
        """
        snapshot = self._find(snapshot_id)
        if snapshot.state != "pending":
            raise invalid("The snapshot is not pending.", "INVALID_SNAPSHOT_ID")
        if not 0 <= index < snapshot.volume_size * BLOCKS_PER_GIB:
            raise invalid("The block lies outside the volume.", "INVALID_BLOCK")
        if headers.get("x-amz-data-length") != str(BLOCK_SIZE) or len(data) != BLOCK_SIZE:
            raise invalid(f"The data length must be {BLOCK_SIZE}.")
        if headers.get("x-amz-checksum-algorithm") != "SHA256":
            raise invalid("The checksum algorithm must be SHA256.")
        checksum = block_checksum(data)
        if headers.get("x-amz-checksum") != checksum:
            raise invalid("The checksum does not match the data.")
        if not 0 <= int(headers.get("x-amz-progress", "0")) <= 100:
            raise invalid("The progress must be 0 to 100.")
        with self._lock:
            snapshot.written_blocks[index] = data
        return checksum

    def complete(self, snapshot_id: str, headers: dict[str, str]) -> None:
        """CompleteSnapshot.

        Raises:
            EbsError: the request breaks a rule.
        """
        snapshot = self._find(snapshot_id)
        with self._lock:
            if snapshot.state != "pending":
                raise invalid("The snapshot is not pending.", "INVALID_SNAPSHOT_ID")
            if headers.get("x-amz-changedblockscount") != str(len(snapshot.written_blocks)):
                raise invalid("The changed blocks count is wrong.")
            if "x-amz-checksum" in headers:
                if headers.get("x-amz-checksum-algorithm") != "SHA256":
                    raise invalid("The checksum algorithm must be SHA256.")
                if headers.get("x-amz-checksum-aggregation-method") != "LINEAR":
                    raise invalid("The aggregation method must be LINEAR.")
                if headers["x-amz-checksum"] != linear_checksum(snapshot.written_blocks):
                    raise invalid("The aggregated checksum does not match.")
            snapshot.shown.status = "completed"

    def list(self, snapshot_id: str, query: dict[str, str]) -> dict[str, Any]:
        """ListSnapshotBlocks: a page.

        Raises:
            EbsError: the request breaks a rule.
        """
        snapshot = self._find_completed(snapshot_id)
        most = int(query.get("maxResults", "10000"))
        if not 100 <= most <= 10000:
            raise invalid("MaxResults must be 100 to 10000.")
        first = int(query.get("startingBlockIndex", "0"))
        if token := query.get("pageToken"):
            first = _parse_page_token(snapshot_id, token)
        indexes = sorted(index for index in snapshot.blocks if index >= first)
        page = [index for index in indexes if index < first + PAGE_SPAN][: min(most, PAGE_SIZE)]
        following = page[-1] + 1 if len(page) == min(most, PAGE_SIZE) else first + PAGE_SPAN
        answer: dict[str, Any] = {
            "Blocks": [
                {"BlockIndex": index, "BlockToken": self._block_token(snapshot_id, index)}
                for index in page
            ],
            "ExpiryTime": (datetime.now(UTC) + timedelta(days=7)).timestamp(),
            "VolumeSize": snapshot.volume_size,
            "BlockSize": BLOCK_SIZE,
        }
        if any(index >= following for index in indexes):
            answer["NextToken"] = base64.b64encode(f"{snapshot_id}:{following}".encode()).decode()
        return answer

    def get(self, snapshot_id: str, index: int, query: dict[str, str]) -> bytes:
        """GetSnapshotBlock.

        Raises:
            EbsError: the request breaks a rule.
        """
        blocks = self._find_completed(snapshot_id).blocks
        if index not in blocks:
            raise invalid("The snapshot has no such block.", "INVALID_BLOCK")
        if query.get("blockToken") != self._block_token(snapshot_id, index):
            raise invalid("The block token is not the block's.", "INVALID_BLOCK_TOKEN")
        return blocks[index]

    def _block_token(self, snapshot_id: str, index: int) -> str:
        """What the newest listing lets a block be read by."""
        return block_checksum(f"{snapshot_id}/{index}/{self._expired_count}".encode())

    def _find(self, snapshot_id: str) -> EbsSnapshot:
        if not re.fullmatch(r"snap-[0-9a-f]+", snapshot_id):
            raise invalid("The snapshot ID is malformed.", "INVALID_SNAPSHOT_ID")
        found = self._snapshots.get(snapshot_id)
        if found is None or found.shown.is_gone:
            raise EbsError(
                404,
                "ResourceNotFoundException",
                f"The snapshot '{snapshot_id}' does not exist.",
                "SNAPSHOT_NOT_FOUND",
            )
        return found

    def _find_completed(self, snapshot_id: str) -> EbsSnapshot:
        snapshot = self._find(snapshot_id)
        if snapshot.state != "completed":
            raise invalid("The snapshot is not completed.", "INVALID_SNAPSHOT_ID")
        return snapshot


def block_checksum(block: bytes) -> str:
    """SHA-256 as EBS writes it."""
    return base64.b64encode(sha256(block).digest()).decode()


def linear_checksum(blocks: dict[int, bytes]) -> str:
    """SHA-256 of the blocks' SHA-256s, one after another in the order of their indexes."""
    return block_checksum(b"".join(sha256(blocks[index]).digest() for index in sorted(blocks)))


def _parse_page_token(snapshot_id: str, token: str) -> int:
    """The first block of the page."""
    match = re.fullmatch(rf"{snapshot_id}:(\d+)", base64.b64decode(token).decode())
    if not match:
        raise invalid("The page token is none of ours.", "INVALID_PAGE_TOKEN")
    return int(match[1])
