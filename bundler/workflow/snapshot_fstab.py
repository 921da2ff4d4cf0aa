"""Lines of /etc/fstab in a snapshot that mount instance store volumes.

The image went by as a stream; what is asked now are the few blocks that lead to one file.
"""

import re
from collections.abc import Callable
from functools import partial

from bundler.codec.disk import file_system_offsets
from bundler.codec.ext import ExtFileSystem
from bundler.workflow.snapshot_bytes import SnapshotBytes
from bundler.workflow.snapshot_ports import SnapshotReader

MAX_FSTAB_SIZE = 64 * 1024
"""Most bytes of a file that are looked at; our choice (the reader gives at most a block)."""

_INSTANCE_STORE = re.compile(r"/dev/(?:sd|xvd)[b-e][0-9]*|(?:LABEL=)?\S*ephemeral\S*")
"""Devices of instance store volumes.  Source: EC2 user guide, device names."""


def find_ephemeral_lines(reader: SnapshotReader, snapshot_id: str) -> tuple[str, ...]:
    """Lines of /etc/fstab for instance store volumes; none when no ext file system has one.

    Raises:
        AwsRefusedError: EBS refused.
        TransferError: EBS cannot be reached, or a block came damaged.
    """
    read = SnapshotBytes(reader, snapshot_id).read
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


def _read_behind(read: Callable[[int, int], bytes], start: int, offset: int, size: int) -> bytes:
    return read(start + offset, size)
