"""The EBS direct APIs over HTTP, strict as AWS describes them; moto's EC2 shows their snapshots.

moto's own take wrong checksums, counts and tokens, and never page.  Source of the rules: the
reference of the EBS direct APIs, and botocore's service model `ebs`.
"""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot as MotoSnapshot
from moto.ec2.utils import random_snapshot_id

from tests.support.faults import Reply
from tests.support.moto_server import ACCOUNT_ID

BLOCK_SIZE = 524288
BLOCKS_PER_GIB = 2048
PAGE_SIZE = 100
"""Most blocks of a page: AWS may give fewer than are asked for."""

START_MEMBERS = {"VolumeSize", "Tags", "Description", "ClientToken", "Encrypted", "Timeout"}


class EbsError(Exception):
    """An error that the client gets."""

    def __init__(self, status: int, code: str, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reason = reason


def invalid(message: str, reason: str = "INVALID_PARAMETER_VALUE") -> EbsError:
    return EbsError(400, "ValidationException", message, reason)


@dataclass(slots=True, kw_only=True)
class EbsSnapshot:
    """A snapshot and the blocks that were written to it."""

    snapshot_id: str
    request: dict[str, Any] = field(repr=False)
    """The body of StartSnapshot."""
    in_ec2: MotoSnapshot = field(repr=False)
    blocks: dict[int, bytes] = field(default_factory=dict, repr=False)

    @property
    def state(self) -> str:
        return str(self.in_ec2.status)

    @property
    def volume_size(self) -> int:
        """GiB."""
        return int(self.request["VolumeSize"])

    def image(self, size: int) -> bytes:
        """The first bytes of the volume, put together from its blocks."""
        volume = bytearray(size)
        for index, block in self.blocks.items():
            piece = block[: max(0, size - index * BLOCK_SIZE)]
            volume[index * BLOCK_SIZE : index * BLOCK_SIZE + len(piece)] = piece
        return bytes(volume)


@dataclass(frozen=True, slots=True, kw_only=True)
class EbsRequest:
    """One request that has reached the server, and what came of it."""

    operation: str
    snapshot_id: str = ""
    index: int = -1
    code: str = ""
    """Of the error; empty when it was done."""


class EbsServer:
    """The state of the service; for many threads."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[EbsRequest] = []
        self.snapshots: dict[str, EbsSnapshot] = {}
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def only(self) -> EbsSnapshot:
        """The only snapshot there is."""
        (snapshot,) = self.snapshots.values()
        return snapshot

    def written(self) -> list[int]:
        """Blocks that were taken, each as often as it was."""
        return [
            request.index
            for request in self.requests
            if request.operation == "PutSnapshotBlock" and not request.code
        ]

    def clear(self) -> None:
        """Forget all snapshots and requests."""
        for snapshot_id in list(self.snapshots):
            self.lose(snapshot_id)
        self.requests.clear()
        self._tokens.clear()

    def lose(self, snapshot_id: str) -> None:
        """Let a snapshot be gone, as one is that nobody completes."""
        snapshot = self.snapshots.pop(snapshot_id)
        del snapshot.in_ec2.ec2_backend.snapshots[snapshot_id]

    def start(self, region: str, request: dict[str, Any]) -> dict[str, Any]:
        """StartSnapshot."""
        _check_start(request)
        token = str(request.get("ClientToken", ""))
        with self._lock:
            if token in self._tokens:
                snapshot = self.snapshots[self._tokens[token]]
                if snapshot.request != request:
                    raise EbsError(409, "ConflictException", "The client token was used before.")
            else:
                snapshot = _start(region, request)
                self.snapshots[snapshot.snapshot_id] = snapshot
                if token:
                    self._tokens[token] = snapshot.snapshot_id
        return {
            "SnapshotId": snapshot.snapshot_id,
            "OwnerId": ACCOUNT_ID,
            "Status": snapshot.state,
            "VolumeSize": snapshot.volume_size,
            "BlockSize": BLOCK_SIZE,
            "StartTime": datetime.now(UTC).timestamp(),
        }

    def put(self, snapshot_id: str, index: int, headers: dict[str, str], data: bytes) -> str:
        """PutSnapshotBlock; the checksum."""
        snapshot = self._find(snapshot_id)
        if snapshot.state != "pending":
            raise invalid("The snapshot is not pending.", "INVALID_SNAPSHOT_ID")
        if not 0 <= index < snapshot.volume_size * BLOCKS_PER_GIB:
            raise invalid("The block lies outside the volume.", "INVALID_BLOCK")
        if headers.get("x-amz-data-length") != str(BLOCK_SIZE) or len(data) != BLOCK_SIZE:
            raise invalid(f"The data length must be {BLOCK_SIZE}.")
        if headers.get("x-amz-checksum-algorithm") != "SHA256":
            raise invalid("The checksum algorithm must be SHA256.")
        checksum = base64.b64encode(sha256(data).digest()).decode()
        if headers.get("x-amz-checksum") != checksum:
            raise invalid("The checksum does not match the data.")
        if not 0 <= int(headers.get("x-amz-progress", "0")) <= 100:
            raise invalid("The progress must be 0 to 100.")
        with self._lock:
            snapshot.blocks[index] = data
        return checksum

    def complete(self, snapshot_id: str, headers: dict[str, str]) -> dict[str, Any]:
        """CompleteSnapshot."""
        snapshot = self._find(snapshot_id)
        with self._lock:
            if snapshot.state != "pending":
                raise invalid("The snapshot is not pending.", "INVALID_SNAPSHOT_ID")
            if headers.get("x-amz-changedblockscount") != str(len(snapshot.blocks)):
                raise invalid("The changed blocks count is wrong.")
            if "x-amz-checksum" in headers:
                if headers.get("x-amz-checksum-algorithm") != "SHA256":
                    raise invalid("The checksum algorithm must be SHA256.")
                if headers.get("x-amz-checksum-aggregation-method") != "LINEAR":
                    raise invalid("The aggregation method must be LINEAR.")
                if headers["x-amz-checksum"] != linear_checksum(snapshot.blocks):
                    raise invalid("The aggregated checksum does not match.")
            snapshot.in_ec2.status = "completed"
        return {"Status": "completed"}

    def list(self, snapshot_id: str, query: dict[str, str]) -> dict[str, Any]:
        """ListSnapshotBlocks."""
        snapshot = self._find_completed(snapshot_id)
        most = int(query.get("maxResults", "10000"))
        if not 100 <= most <= 10000:
            raise invalid("MaxResults must be 100 to 10000.")
        first = int(query.get("startingBlockIndex", "0"))
        if token := query.get("pageToken"):
            match = re.fullmatch(rf"{snapshot_id}:(\d+)", base64.b64decode(token).decode())
            if not match:
                raise invalid("The page token is none of ours.", "INVALID_PAGE_TOKEN")
            first = int(match[1])
        indexes = sorted(index for index in snapshot.blocks if index >= first)
        page, rest = indexes[: min(most, PAGE_SIZE)], indexes[min(most, PAGE_SIZE) :]
        answer: dict[str, Any] = {
            "Blocks": [
                {"BlockIndex": index, "BlockToken": block_token(snapshot_id, index)}
                for index in page
            ],
            "ExpiryTime": (datetime.now(UTC) + timedelta(days=7)).timestamp(),
            "VolumeSize": snapshot.volume_size,
            "BlockSize": BLOCK_SIZE,
        }
        if rest:
            answer["NextToken"] = base64.b64encode(f"{snapshot_id}:{rest[0]}".encode()).decode()
        return answer

    def get(self, snapshot_id: str, index: int, query: dict[str, str]) -> bytes:
        """GetSnapshotBlock."""
        snapshot = self._find_completed(snapshot_id)
        if index not in snapshot.blocks:
            raise invalid("The snapshot has no such block.", "INVALID_BLOCK")
        if query.get("blockToken") != block_token(snapshot_id, index):
            raise invalid("The block token is not the block's.", "INVALID_BLOCK_TOKEN")
        return snapshot.blocks[index]

    def _find(self, snapshot_id: str) -> EbsSnapshot:
        if not re.fullmatch(r"snap-[0-9a-f]+", snapshot_id):
            raise invalid("The snapshot ID is malformed.", "INVALID_SNAPSHOT_ID")
        try:
            return self.snapshots[snapshot_id]
        except KeyError:
            raise EbsError(
                404,
                "ResourceNotFoundException",
                f"The snapshot '{snapshot_id}' does not exist.",
                "SNAPSHOT_NOT_FOUND",
            ) from None

    def _find_completed(self, snapshot_id: str) -> EbsSnapshot:
        snapshot = self._find(snapshot_id)
        if snapshot.state != "completed":
            raise invalid("The snapshot is not completed.", "INVALID_SNAPSHOT_ID")
        return snapshot


def remembered_blocks(directory: Path) -> set[int]:
    """Blocks of which a state file of ours says that they are finished."""
    lines = [line for path in directory.iterdir() for line in path.read_text().split("\n")[:-1]]
    return {record["block"] for record in map(json.loads, lines) if "block" in record}


def ebs_error(status: str, code: str) -> Reply:
    """An error of the service that a test gives in its stead."""
    fields = (("x-amzn-ErrorType", code), ("Content-Type", "application/json"))
    return Reply(status=status, body=b'{"Message": "It is so."}', headers=fields)


def block_token(snapshot_id: str, index: int) -> str:
    """The token by which a listing lets a block be read."""
    return base64.b64encode(sha256(f"{snapshot_id}/{index}".encode()).digest()).decode()


def linear_checksum(blocks: dict[int, bytes]) -> str:
    """SHA-256 of the blocks' SHA-256s, one after another in the order of their indexes."""
    digests = (sha256(blocks[index]).digest() for index in sorted(blocks))
    return base64.b64encode(sha256(b"".join(digests)).digest()).decode()


def _check_start(request: dict[str, Any]) -> None:
    if unknown := request.keys() - START_MEMBERS:
        raise invalid(f"Unknown members: {sorted(unknown)}")
    size, timeout = request.get("VolumeSize"), request.get("Timeout", 60)
    if not isinstance(size, int) or not 1 <= size <= 65536:
        raise invalid("The volume size must be 1 to 65536 GiB.", "INVALID_VOLUME_SIZE")
    if not isinstance(timeout, int) or not 10 <= timeout <= 4320:
        raise invalid("The timeout must be 10 to 4320 minutes.")
    if not 1 <= len(request.get("Description", "-")) <= 255:
        raise invalid("The description must have 1 to 255 characters.")
    tags = request.get("Tags", [])
    keys = [tag["Key"] for tag in tags]
    is_reserved = any(key.startswith("aws:") for key in keys)
    if len(tags) > 50 or len(set(keys)) != len(keys) or is_reserved:
        raise invalid("The tags break the rules.", "INVALID_TAG")


def _start(region: str, request: dict[str, Any]) -> EbsSnapshot:
    backend = ec2_backends[ACCOUNT_ID][region]
    in_ec2 = MotoSnapshot(
        backend,
        random_snapshot_id(),
        # EC2 shows this id for all snapshots that are of no volume.
        SimpleNamespace(id="vol-ffffffff", size=request["VolumeSize"]),
        request.get("Description", ""),
    )
    in_ec2.status = "pending"
    backend.snapshots[in_ec2.id] = in_ec2
    in_ec2.add_tags({tag["Key"]: tag["Value"] for tag in request.get("Tags", [])})
    return EbsSnapshot(snapshot_id=in_ec2.id, request=request, in_ec2=in_ec2)


@contextmanager
def ebs_server() -> Iterator[EbsServer]:
    """Serve the EBS direct APIs on a free port of 127.0.0.1; moto runs in this process."""
    state = EbsServer()
    handler = type("Handler", (_Handler,), {"ebs": state})
    server = _Server(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is none; all else is seen by its missing reply."""


class _Handler(BaseHTTPRequestHandler):
    ebs: EbsServer

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        data = self.rfile.read(size)
        if len(data) < size:
            return  # the client has gone: AWS takes no half request either
        headers = {name.lower(): text for name, text in self.headers.items()}
        url = urlsplit(self.path)
        query = {name: texts[0] for name, texts in parse_qs(url.query).items()}
        words = url.path.strip("/").split("/")
        operation, snapshot_id, index = _operation(self.command, words)
        code = ""
        try:
            status, fields, body = self._answer(operation, snapshot_id, index, headers, query, data)
        except EbsError as error:
            status, code = error.status, error.code
            fields = {"x-amzn-ErrorType": code}
            body = json.dumps({"Message": str(error), "Reason": error.reason}).encode()
        self.ebs.requests.append(
            EbsRequest(operation=operation, snapshot_id=snapshot_id, index=index, code=code)
        )
        self.send_response(status)
        for name, text in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def _answer(
        self,
        operation: str,
        snapshot_id: str,
        index: int,
        headers: dict[str, str],
        query: dict[str, str],
        data: bytes,
    ) -> tuple[int, dict[str, str], bytes]:
        match operation:
            case "StartSnapshot":
                region = headers["authorization"].split("/")[2]
                answer, status = self.ebs.start(region, json.loads(data)), 201
            case "PutSnapshotBlock":
                checksum = self.ebs.put(snapshot_id, index, headers, data)
                return 201, _checksum_fields(checksum), b"{}"
            case "CompleteSnapshot":
                answer, status = self.ebs.complete(snapshot_id, headers), 202
            case "ListSnapshotBlocks":
                answer, status = self.ebs.list(snapshot_id, query), 200
            case "GetSnapshotBlock":
                block = self.ebs.get(snapshot_id, index, query)
                checksum = base64.b64encode(sha256(block).digest()).decode()
                fields = {**_checksum_fields(checksum), "x-amz-Data-Length": str(BLOCK_SIZE)}
                return 200, fields, block
            case _:
                raise EbsError(404, "UnknownOperationException", "There is no such operation.")
        return status, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _operation(method: str, words: list[str]) -> tuple[str, str, int]:
    """Operation, snapshot and block that a method and a path name."""
    match method, words:
        case "POST", ["snapshots"]:
            return "StartSnapshot", "", -1
        case "POST", ["snapshots", "completion", snapshot_id]:
            return "CompleteSnapshot", snapshot_id, -1
        case "GET", ["snapshots", snapshot_id, "blocks"]:
            return "ListSnapshotBlocks", snapshot_id, -1
        case "GET" | "PUT", ["snapshots", snapshot_id, "blocks", index] if index.isdecimal():
            return f"{method.title()}SnapshotBlock", snapshot_id, int(index)
        case _:
            return "", "", -1


def _checksum_fields(checksum: str) -> dict[str, str]:
    return {"x-amz-Checksum": checksum, "x-amz-Checksum-Algorithm": "SHA256"}
