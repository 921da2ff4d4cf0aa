"""An EBS snapshot as what a bundle is made from: fetched as it is needed, never on the disk."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from bundler.errors import AwsRefusedError, TransferError
from bundler.host.image_file import merge_extents, nonzero_runs
from bundler.model.bundle import Extent
from bundler.model.snapshot import BLOCK_SIZE, GIB, Snapshot, SnapshotState
from bundler.workflow.snapshot_bytes import SnapshotBytes
from bundler.workflow.snapshot_ports import SnapshotBlocks

_ZERO_BLOCK = bytes(BLOCK_SIZE)


class SnapshotSource:
    """The BundleSource of a completed snapshot; its size is the volume's.

    Memory: the blocks that read_blocks() holds, those that were looked at by read_at(), and a
    bit for each block of the volume.

    Raises:
        AwsRefusedError: the snapshot is not one that can be read; see check_readable().
    """

    def __init__(self, reader: SnapshotBlocks, snapshot: Snapshot) -> None:
        check_readable(snapshot)
        self._reader = reader
        self._id = snapshot.snapshot_id
        self._size = snapshot.volume_size * GIB
        self._bytes = SnapshotBytes(reader, self._id)
        self._listed = bytearray(-(-self._size // BLOCK_SIZE // 8))

    @property
    def label(self) -> str:
        """The snapshot's id."""
        return self._id

    @property
    def size(self) -> int:
        """Bytes of the volume."""
        return self._size

    @property
    def identity(self) -> Mapping[str, object]:
        """The id alone: snapshots never change."""
        return {"snapshot_id": self._id}

    @property
    def change_mark(self) -> str:
        """The id, as there is nothing that it could miss."""
        return self._id

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        """The blocks that were ever written; with `dig_holes` all of them are fetched for it.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached.
        """
        written = merge_extents(self._written(), self._size)
        return merge_extents(self._dig(written), self._size) if dig_holes else written

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """The extents' bytes, each block verified before any byte of it is passed on.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or a block came damaged.
            CancelledError: cancel() was called.
        """
        del lead  # blocks are as EBS has them
        for _, piece in self._read_pieces(extents):
            yield piece

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer, or none, at the end, or of too many blocks.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or a block came damaged.
        """
        if not 0 <= offset < self._size:
            return b""
        return self._bytes.read(offset, min(size, self._size - offset))

    def cancel(self) -> None:
        """End a read() that is under way."""
        self._reader.cancel()

    def _written(self) -> Iterator[Extent]:
        for index in self._reader.list_blocks(self._id):
            offset = index * BLOCK_SIZE
            if offset >= self._size:
                raise TransferError(
                    f"list blocks of snapshot {self._id}: expected blocks of {self._size} bytes, "
                    f"got block {index}"
                )
            self._listed[index // 8] |= 1 << index % 8
            yield Extent(offset=offset, size=BLOCK_SIZE)

    def _dig(self, extents: tuple[Extent, ...]) -> Iterator[Extent]:
        """Those pieces that are not zeros."""
        for offset, piece in self._read_pieces(extents):
            for start, run in nonzero_runs(piece, offset):
                yield Extent(offset=start, size=len(run))

    def _read_pieces(self, extents: tuple[Extent, ...]) -> Iterator[tuple[int, bytes]]:
        """The extents as (offset, bytes), none of them of two blocks."""
        indexes = (piece.offset // BLOCK_SIZE for piece in _pieces(extents))
        with closing(self._reader.read_blocks(self._id, indexes)) as blocks:
            for piece, block in zip(_pieces(extents), blocks, strict=True):
                index, start = divmod(piece.offset, BLOCK_SIZE)
                if block is None and self._listed[index // 8] >> index % 8 & 1:
                    raise TransferError(
                        f"read snapshot {self._id}: expected block {index}, which EBS has listed, "
                        "got no such block"
                    )
                yield piece.offset, (block or _ZERO_BLOCK)[start : start + piece.size]


def check_readable(snapshot: Snapshot) -> None:
    """Refuse a snapshot of which EBS gives no blocks.

    Raises:
        AwsRefusedError: it is not completed, it is archived, or EC2 does not tell its size.
    """
    subject = f"read snapshot {snapshot.snapshot_id}"
    if snapshot.state is not SnapshotState.COMPLETED:
        reason = f" ({snapshot.message})" if snapshot.message else ""
        remedy = (
            "wait until it is"
            if snapshot.state is SnapshotState.PENDING
            else "it must be recovered, or made anew"
        )
        raise AwsRefusedError(
            f"{subject}: expected it to be completed, got {snapshot.state}{reason}; {remedy}"
        )
    if snapshot.is_archived:
        raise AwsRefusedError(
            f"{subject}: expected it in the standard tier, got an archived one; restore it first "
            "(aws ec2 restore-snapshot-tier)"
        )
    if not snapshot.volume_size:
        raise AwsRefusedError(f"{subject}: EC2 does not tell the size of its volume")


def _pieces(extents: tuple[Extent, ...]) -> Iterator[Extent]:
    """The extents, cut where blocks end."""
    for extent in extents:
        offset = extent.offset
        while offset < extent.end:
            end = min(offset - offset % BLOCK_SIZE + BLOCK_SIZE, extent.end)
            yield Extent(offset=offset, size=end - offset)
            offset = end
