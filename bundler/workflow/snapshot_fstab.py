"""Lines of /etc/fstab in a snapshot that mount instance store volumes.

The image went by as a stream; what is asked now are the few blocks that lead to one file.
"""

import re
from collections.abc import Callable
from functools import partial

from bundler.codec.disk import file_system_offsets
from bundler.codec.ext import ExtFileSystem
from bundler.model.snapshot import BLOCK_SIZE
from bundler.workflow.snapshot_ports import SnapshotReader

MAX_FSTAB_SIZE = 64 * 1024
"""Most bytes of a file that are looked at; our choice (the reader gives at most a block)."""

MAX_BLOCK_COUNT = 32
"""Most blocks that are fetched, whatever the file system says; our choice."""

_INSTANCE_STORE = re.compile(r"/dev/(?:sd|xvd)[b-e][0-9]*|(?:LABEL=)?\S*ephemeral\S*")
"""Devices of instance store volumes.  Source: EC2 user guide, device names."""


def find_ephemeral_lines(reader: SnapshotReader, snapshot_id: str) -> tuple[str, ...]:
    """Lines of /etc/fstab for instance store volumes; none when no ext file system has one.

    Raises:
        AwsRefusedError: EBS refused.
        TransferError: EBS cannot be reached, or a block came damaged.
    """
    read = _SnapshotBytes(reader, snapshot_id).read
    for offset in file_system_offsets(read):
        system = ExtFileSystem.open(partial(_read_behind, read, offset))
        text = system.read_start("/etc/fstab", MAX_FSTAB_SIZE) if system else None
        if text is not None:
            return ephemeral_lines(text.decode(errors="replace"))
    return ()


def ephemeral_lines(text: str) -> tuple[str, ...]:
    """Lines of an fstab whose first word names an instance store volume."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return tuple(line for line in lines if line and _INSTANCE_STORE.fullmatch(line.split()[0]))


class _SnapshotBytes:
    """A snapshot as bytes; blocks that were fetched are kept."""

    def __init__(self, reader: SnapshotReader, snapshot_id: str) -> None:
        self._reader = reader
        self._snapshot_id = snapshot_id
        self._blocks: dict[int, bytes] = {}

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at an offset; fewer when too many blocks would be needed."""
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


def _read_behind(read: Callable[[int, int], bytes], start: int, offset: int, size: int) -> bytes:
    return read(start + offset, size)
