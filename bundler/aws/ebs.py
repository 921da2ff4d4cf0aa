"""Snapshot store: the EBS direct APIs, and what EC2 tells of snapshots."""

import base64
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bundler.aws.errors import translated
from bundler.aws.snapshots import read_snapshot
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.snapshot import Snapshot, SnapshotRequest, SnapshotState

if TYPE_CHECKING:
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ebs.type_defs import (
        PutSnapshotBlockResponseTypeDef,
        StartSnapshotRequestTypeDef,
    )
    from mypy_boto3_ec2 import EC2Client

UNFINISHED_TIMEOUT = 1440
"""Minutes after the last block until EBS gives up a snapshot that nobody seals: a day, for an
interrupted run to go on.  Our choice; StartSnapshot, `Timeout`, takes up to 4320."""

_DAMAGE_REASONS = frozenset(("", "INVALID_BLOCK", "INVALID_PARAMETER_VALUE"))
"""Reasons of a ValidationException when the block that came is not the one that was sent."""


class EbsSnapshotStore:
    """The SnapshotStore of workflow/snapshot_ports.py."""

    def __init__(self, ebs: "EBSClient", ec2: "EC2Client", transport: Transport) -> None:
        self._ebs = ebs
        self._ec2 = ec2
        self._transport = transport
        self._stopped = threading.Event()
        self._known: set[str] = set()  # snapshots that EBS has taken a block of

    @property
    def concurrency(self) -> int:
        """Blocks that may be sent side by side."""
        return self._transport.settings.concurrency

    def start(self, request: SnapshotRequest, *, token: str) -> str:
        """StartSnapshot, which the token makes safe to repeat; the snapshot's id.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached.
        """
        arguments: StartSnapshotRequestTypeDef = {
            **start_arguments(request),
            "ClientToken": token,
        }
        return self._transport.call(
            f"start a snapshot of {request.volume_size} GiB",
            lambda: self._ebs.start_snapshot(**arguments)["SnapshotId"],
        )

    def put(self, snapshot_id: str, index: int, block: bytes, *, checksum: bytes) -> None:
        """PutSnapshotBlock; a block that is there already is overwritten.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: it did not arrive.
            CancelledError: cancel() was called.
        """
        subject = f"put block {index} of snapshot {snapshot_id}"
        expected = base64.b64encode(checksum).decode()

        def attempt() -> None:
            self._transport.bandwidth.take(len(block), self._stopped)
            if self._stopped.is_set():
                raise CancelledError
            answer = self._put(subject, snapshot_id, index, block, expected)
            # A proxy may say 200 to anything; only EBS tells the checksum.
            got = answer.get("Checksum", "")
            if got != expected:
                raise TransferError(f"{subject}: expected checksum {expected}, got {got or 'none'}")

        self._transport.call(subject, attempt, stopped=self._stopped)
        self._known.add(snapshot_id)

    def _put(
        self, subject: str, snapshot_id: str, index: int, block: bytes, checksum: str
    ) -> "PutSnapshotBlockResponseTypeDef":
        """One request; TransferError for refusals that may pass."""
        try:
            with translated(subject):
                return self._ebs.put_snapshot_block(
                    SnapshotId=snapshot_id,
                    BlockIndex=index,
                    BlockData=block,
                    DataLength=len(block),
                    Checksum=checksum,
                    ChecksumAlgorithm="SHA256",
                )
        except AwsRefusedError as error:
            if self._may_pass(error, snapshot_id):
                raise TransferError(str(error), code=error.code) from error
            raise

    def _may_pass(self, error: AwsRefusedError, snapshot_id: str) -> bool:
        """Whether EBS may take the very same block later."""
        if error.code == "ResourceNotFoundException":
            # EBS needs some seconds until all of it knows a new snapshot.
            return snapshot_id not in self._known
        # All that we say of a block is right when it leaves us.
        return error.code == "ValidationException" and refusal_reason(error) in (
            *_DAMAGE_REASONS,
            "CONFLICTING_BLOCK_UPDATE",  # with a request whose reply was lost
        )

    def complete(
        self, snapshot_id: str, *, block_count: int, checksum: bytes, may_be_done: bool
    ) -> None:
        """CompleteSnapshot, with the checksum of all checksums (LINEAR).

        What was sealed before is refused, so that a refusal proves nothing when an earlier
        request may have done it: then the snapshot's state tells.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or it is not known yet whether it is sealed.
        """
        subject = f"complete snapshot {snapshot_id}"
        attempt_count = 0

        def attempt() -> None:
            nonlocal attempt_count
            attempt_count += 1
            answer = self._ebs.complete_snapshot(
                SnapshotId=snapshot_id,
                ChangedBlocksCount=block_count,
                Checksum=base64.b64encode(checksum).decode(),
                ChecksumAlgorithm="SHA256",
                ChecksumAggregationMethod="LINEAR",
            )
            if "Status" not in answer:
                raise TransferError(f"{subject}: expected a status, got an answer without one")

        try:
            self._transport.call(subject, attempt)
        except AwsRefusedError as error:
            is_repeated = may_be_done or attempt_count > 1
            if not (is_repeated and error.code == "ValidationException"):
                raise
            self._wait_until_sealed(snapshot_id, error)

    def _wait_until_sealed(self, snapshot_id: str, refusal: AwsRefusedError) -> None:
        """Look whether an earlier request has sealed it after all, which takes some seconds."""

        def attempt() -> None:
            snapshots = self._ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
            state = read_snapshot(snapshots[0]).state if snapshots else None
            if state is SnapshotState.PENDING:
                raise TransferError(f"{refusal}; and it is still pending", code=refusal.code)
            if state is not SnapshotState.COMPLETED:
                raise refusal

        self._transport.call(f"describe snapshot {snapshot_id}", attempt)

    def describe(self, snapshot_id: str) -> Snapshot | None:
        """DescribeSnapshots of one snapshot; None when EC2 does not know it.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 cannot be reached.
        """
        try:
            snapshots = self._transport.call(
                f"describe snapshot {snapshot_id}",
                lambda: self._ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"],
            )
        except AwsRefusedError as error:
            if error.code == "InvalidSnapshot.NotFound":
                return None
            raise
        return read_snapshot(snapshots[0]) if snapshots else None

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it."""
        self._stopped.set()


def refusal_reason(error: AwsRefusedError) -> str:
    """Why a request is not valid (ValidationException, `Reason`)."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return ""
    told: dict[str, object] = {**cause.response}
    return str(told.get("Reason") or "")


def start_arguments(request: SnapshotRequest) -> "StartSnapshotRequestTypeDef":
    """What StartSnapshot is told, but for the client token."""
    arguments: StartSnapshotRequestTypeDef = {
        "VolumeSize": request.volume_size,
        "Timeout": UNFINISHED_TIMEOUT,
    }
    if request.description:
        arguments["Description"] = request.description
    if request.parent_id:
        arguments["ParentSnapshotId"] = request.parent_id
    if request.tags:
        arguments["Tags"] = [{"Key": key, "Value": value} for key, value in request.tags]
    return arguments
