"""Blocks of completed snapshots, one by one (EBS direct APIs)."""

import base64
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

from bundler.aws.transport import Transport
from bundler.errors import TransferError

if TYPE_CHECKING:
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ebs.type_defs import ListSnapshotBlocksRequestTypeDef

PAGE_SIZE = 100
"""Blocks that are listed to find one.  Source: ListSnapshotBlocks, least `MaxResults`."""


class EbsBlockReader:
    """The SnapshotReader of workflow/snapshot_ports.py."""

    def __init__(self, client: "EBSClient", transport: Transport) -> None:
        self._client = client
        self._transport = transport

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        """GetSnapshotBlock, verified; None when the snapshot has no such block: it is zeros.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or the block came damaged.
        """
        token = self._find_token(snapshot_id, index)
        if not token:
            return None
        subject = f"get block {index} of snapshot {snapshot_id}"

        def attempt() -> bytes:
            answer = self._client.get_snapshot_block(
                SnapshotId=snapshot_id, BlockIndex=index, BlockToken=token
            )
            with answer["BlockData"] as body:
                data = body.read()
            got = base64.b64encode(sha256(data).digest()).decode()
            if got != answer["Checksum"]:
                raise TransferError(f"{subject}: expected checksum {answer['Checksum']}, got {got}")
            return data

        return self._transport.call(subject, attempt)

    def _find_token(self, snapshot_id: str, index: int) -> str:
        """ListSnapshotBlocks: what lets a block be read; empty when there is none."""
        request: ListSnapshotBlocksRequestTypeDef = {
            "SnapshotId": snapshot_id,
            "StartingBlockIndex": index,
            "MaxResults": PAGE_SIZE,
        }
        while True:
            page = self._transport.call(
                f"list blocks of snapshot {snapshot_id}",
                partial(self._client.list_snapshot_blocks, **request),
            )
            for block in page["Blocks"]:
                if block["BlockIndex"] == index:
                    return block["BlockToken"]
            following = page.get("NextToken", "")
            # A page may be empty, and yet not be the last one.
            if page["Blocks"] or not following:
                return ""
            if following == request.get("NextToken"):
                raise TransferError(f"list blocks of snapshot {snapshot_id}: EBS does not go on")
            request = {**request, "NextToken": following}
