"""A few bytes here and there of a snapshot, as who looks at an image needs them."""

from bundler.model.snapshot import BLOCK_SIZE
from bundler.workflow.snapshot_ports import SnapshotReader

MAX_BLOCK_COUNT = 32
"""Most blocks that are fetched, and kept, whatever a file system says; our choice."""


class SnapshotBytes:
    """A snapshot as bytes; blocks that were fetched are kept."""

    def __init__(self, reader: SnapshotReader, snapshot_id: str) -> None:
        self._reader = reader
        self._snapshot_id = snapshot_id
        self._blocks: dict[int, bytes] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at an offset; fewer when too many blocks would be needed.

        Raises:
            AwsRefusedError: EBS refused.
            TransferError: EBS cannot be reached, or a block came damaged.
        """
        found = bytearray()
        while len(found) < size:
            index, start = divmod(offset + len(found), BLOCK_SIZE)
            if index not in self._blocks:
                if len(self._blocks) == MAX_BLOCK_COUNT:
                    break
                block = self._reader.read_block(self._snapshot_id, index)
                self._blocks[index] = bytes(BLOCK_SIZE) if block is None else block
            found += self._blocks[index][start : start + size - len(found)]
        return bytes(found)
