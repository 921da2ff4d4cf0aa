"""What of a volume is copied, and what is not, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

from bundler.model.disk import Usage

MAX_FINDING_COUNT = 10_000
"""Most files that are told of one kind; our choice, so that a report stays small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A file or directory, and what there is to say of it; a directory stands for all in it."""

    path: bytes
    """Relative to the volume, without "./"."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Findings of one kind."""

    count: int = 0
    told: tuple[Finding, ...] = ()
    """The first MAX_FINDING_COUNT of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of a volume is copied; sizes in bytes."""

    usage: Mapping[str, Usage]
    """What the files need, by mount point."""
    size: int
    """Apparent size of all regular files that are copied, hard links once."""
    file_count: int
    """All that is copied but directories."""
    directory_count: int
    left_out: Findings
    secrets: Findings
    """Those of `left_out` that are secrets."""
    suspicious: Findings
    """What is copied though it may be secret, or could not be looked at as a whole."""
    emptied: tuple[str, ...]
    """Absolute paths in the volume of files that are copied and must be emptied then."""
    vanished_count: int
    """Files that were gone, or had become something else, when they were looked at."""
