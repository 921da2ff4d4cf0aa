"""EBS snapshots: their blocks, sizes and states."""

from dataclasses import dataclass
from enum import StrEnum

from bundler.errors import InputError, UsageError
from bundler.model.bundle import MIB
from bundler.model.image import is_text
from bundler.model.resource_tag import Tag

BLOCK_SIZE = 512 * 1024
"""Bytes of a block.  Source: PutSnapshotBlock, `DataLength`."""

GIB = 1024 * MIB
"""Volumes have whole ones of these.  Source: StartSnapshot, `VolumeSize`."""

MAX_VOLUME_SIZE = 65536
"""Most GiB of a volume.  Source: StartSnapshot, `VolumeSize`."""

MAX_DESCRIPTION_LENGTH = 255
"""Most characters.  Source: StartSnapshot, `Description`."""


class SnapshotState(StrEnum):
    """States of a snapshot (DescribeSnapshots, `State`)."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"
    RECOVERABLE = "recoverable"
    """In the Recycle Bin."""
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRequest:
    """Arguments of StartSnapshot; an empty description is not sent.

    Raises:
        UsageError: the description is too long or no text.
    """

    volume_size: int
    """GiB."""
    description: str = ""
    tags: tuple[Tag, ...] = ()
    parent_id: str = ""
    """The snapshot whose blocks this one has, but for those that are written; empty: none."""

    def __post_init__(self) -> None:
        if not is_text(self.description) or len(self.description) > MAX_DESCRIPTION_LENGTH:
            raise UsageError(
                f"snapshot description: expected at most {MAX_DESCRIPTION_LENGTH} characters of "
                f"UTF-8, got {len(self.description)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot, as EC2 tells of it (DescribeSnapshots)."""

    snapshot_id: str
    state: SnapshotState
    progress: int = 0
    """Percent."""
    message: str = ""
    """Why it is in error; empty when EC2 gives no reason."""
    volume_size: int = 0
    """GiB; 0 when EC2 does not tell."""
    is_archived: bool = False
    """In the archive tier, where the EBS direct APIs cannot read it."""


def volume_size(size: int) -> int:
    """GiB of the smallest volume that an image of `size` bytes fits into.

    Raises:
        InputError: there is none.
    """
    gibibytes = -(-size // GIB)
    if gibibytes > MAX_VOLUME_SIZE:
        raise InputError(
            f"image: expected at most {MAX_VOLUME_SIZE} GiB, as an EBS volume has, got {gibibytes}"
        )
    return gibibytes
