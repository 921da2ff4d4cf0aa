"""The embedded EBS direct APIs over HTTP; moto's EC2 shows their snapshots."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_block_store import Snapshot
from moto.ec2.utils import random_snapshot_id
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request, Response

from bundler.embedded.ebs import BLOCK_SIZE, EbsRequest, EmbeddedEbs, block_checksum
from bundler.embedded.ebs_rules import EbsError

NO_VOLUME = "vol-ffffffff"
"""What EC2 shows for all snapshots that are of no volume."""


class DirectSnapshot(Snapshot):
    """A ShownSnapshot of embedded/ebs.py."""

    def __init__(self, region: str, request: dict[str, Any]) -> None:
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
        super().__init__(
            backend,
            random_snapshot_id(),
            SimpleNamespace(id=NO_VOLUME, size=request["VolumeSize"]),
            request.get("Description", ""),
        )
        self.status = "pending"
        backend.snapshots[self.id] = self
        self.add_tags({tag["Key"]: tag["Value"] for tag in request.get("Tags", [])})

    @property
    def is_gone(self) -> bool:
        """Whether EC2 has deleted it."""
        return self.id not in self.ec2_backend.snapshots


class EbsApplication:
    """Answers requests of the EBS direct APIs."""

    def __init__(self, ebs: EmbeddedEbs) -> None:
        self._ebs = ebs

    def answer(self, request: Request) -> Response:
        """Do what a request asks for, and keep a record of it."""
        operation, snapshot_id, index = _operation(request)
        code = ""
        try:
            response = self._do(operation, snapshot_id, index, request)
        except ClientDisconnected:
            # AWS takes no half request either.
            return Response(status=400)
        except EbsError as error:
            code = error.code
            response = _document({"Message": str(error), "Reason": error.reason}, error.status)
            response.headers["x-amzn-ErrorType"] = code
        self._ebs.requests.append(
            EbsRequest(operation=operation, snapshot_id=snapshot_id, index=index, code=code)
        )
        return response

    def _do(self, operation: str, snapshot_id: str, index: int, request: Request) -> Response:
        headers = {name.lower(): text for name, text in request.headers.items()}
        data = request.get_data()
        match operation:
            case "StartSnapshot":
                return self._start(region_of(request), json.loads(data))
            case "PutSnapshotBlock":
                checksum = self._ebs.put(snapshot_id, index, headers, data)
                return Response(b"{}", 201, _checksum_fields(checksum))
            case "CompleteSnapshot":
                self._ebs.complete(snapshot_id, headers)
                return _document({"Status": "completed"}, 202)
            case "ListSnapshotBlocks":
                return _document(self._ebs.list(snapshot_id, request.args.to_dict()), 200)
            case "GetSnapshotBlock":
                block = self._ebs.get(snapshot_id, index, request.args.to_dict())
                fields = _checksum_fields(block_checksum(block))
                return Response(block, 200, {**fields, "x-amz-Data-Length": str(BLOCK_SIZE)})
            case _:
                raise EbsError(404, "UnknownOperationException", "There is no such operation.")

    def _start(self, region: str, request: dict[str, Any]) -> Response:
        made = self._ebs.start(request, lambda request: DirectSnapshot(region, request))
        answer: dict[str, object] = {
            "SnapshotId": made.snapshot_id,
            "OwnerId": DEFAULT_ACCOUNT_ID,
            "Status": made.state,
            "VolumeSize": made.volume_size,
            "BlockSize": BLOCK_SIZE,
            "StartTime": datetime.now(UTC).timestamp(),
        }
        if parent_id := request.get("ParentSnapshotId"):
            answer["ParentSnapshotId"] = parent_id
        return _document(answer, 201)


def is_ebs_request(request: Request) -> bool:
    """Whether a request's signature is for the EBS direct APIs."""
    return "/ebs/aws4_request" in request.headers.get("Authorization", "")


def region_of(request: Request) -> str:
    """The region for which a request is signed."""
    return request.headers["Authorization"].split("/")[2]


def _operation(request: Request) -> tuple[str, str, int]:
    """Operation, snapshot and block that a method and a path name."""
    match request.method, request.path.strip("/").split("/"):
        case "POST", ["snapshots"]:
            return "StartSnapshot", "", -1
        case "POST", ["snapshots", "completion", snapshot_id]:
            return "CompleteSnapshot", snapshot_id, -1
        case "GET", ["snapshots", snapshot_id, "blocks"]:
            return "ListSnapshotBlocks", snapshot_id, -1
        case "GET" | "PUT" as method, ["snapshots", snapshot_id, "blocks", index] if (
            index.isdecimal()
        ):
            return f"{method.title()}SnapshotBlock", snapshot_id, int(index)
        case _:
            return "", "", -1


def _document(answer: dict[str, Any], status: int) -> Response:
    return Response(json.dumps(answer), status, content_type="application/json")


def _checksum_fields(checksum: str) -> dict[str, str]:
    return {"x-amz-Checksum": checksum, "x-amz-Checksum-Algorithm": "SHA256"}
