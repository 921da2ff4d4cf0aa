"""What writing snapshots needs of the world; the command line passes the adapter in."""

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from bundler.model.described_image import DescribedImage
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.snapshot import Snapshot, SnapshotRequest


class SnapshotStore(Protocol):
    """The EBS snapshots of one region (in production: aws/ebs.py).

    Whoever implements it retries what may pass; put() is for many threads.
    """

    @property
    def concurrency(self) -> int:
        """Blocks that may be sent side by side."""

    def start(self, request: SnapshotRequest, *, token: str) -> str:
        """Start an empty snapshot; its id.  The same token and request give the same snapshot.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached.
        """

    def put(self, snapshot_id: str, index: int, block: bytes, *, checksum: bytes) -> None:
        """Write a block, or write it anew; `checksum` is its SHA-256, which EBS checks.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: it did not arrive.
            CancelledError: cancel() was called.
        """

    def complete(
        self, snapshot_id: str, *, block_count: int, checksum: bytes, may_be_done: bool
    ) -> None:
        """Seal a snapshot; `checksum` is that of the blocks' checksums in their order.

        With `may_be_done` an earlier run may have sealed it: then a refusal proves nothing.

        Raises:
            AwsRefusedError: EBS refused: it does not hold those blocks.
            TransferError: EBS cannot be reached.
        """

    def describe(self, snapshot_id: str) -> Snapshot | None:
        """What EC2 tells of a snapshot; None when it knows none of that id.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 cannot be reached.
        """

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it; nothing is raised."""


class EbsRegistry(Protocol):
    """EBS-backed AMIs of one region (in production: aws/ebs_images.py)."""

    def register(self, registration: EbsRegistration, snapshot_id: str) -> str:
        """Register a completed snapshot as an AMI; the AMI's id.

        An AMI of that name and snapshot, which a lost request has made, is a success.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """

    def find(self, name: str) -> DescribedImage | None:
        """The AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """


class SnapshotReader(Protocol):
    """Blocks of completed snapshots (in production: aws/ebs_reader.py)."""

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        """A block, verified; None when it is zeros.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or the block came damaged.
        """


class SnapshotBlocks(SnapshotReader, Protocol):
    """All blocks of completed snapshots (in production: aws/ebs_reader.py)."""

    def list_blocks(self, snapshot_id: str) -> Iterator[int]:
        """The indexes of all blocks that were ever written, in order.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or its answer makes no sense.
        """

    def read_blocks(
        self, snapshot_id: str, indexes: Iterable[int]
    ) -> Generator[bytes | None, None, None]:
        """Blocks as by read_block(), later ones fetched meanwhile, in the order of the indexes.

        Raises:
            AwsRefusedError, TransferError: as read_block().
            CancelledError: cancel() was called.
        """

    def cancel(self) -> None:
        """End the read_blocks() that is under way, without waiting for what is on its way."""
