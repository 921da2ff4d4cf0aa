"""The swap files that this machine uses."""

import re
from pathlib import Path

from bundler.host.files import os_errors

SWAPS = Path("/proc/swaps")
"""Source: proc(5)."""


def swap_files(table: Path = SWAPS) -> tuple[Path, ...]:
    """Paths of swap files in use, not of partitions; none where the kernel has no swap.

    Raises:
        HostError: the table cannot be read.
    """
    with os_errors("read", table):
        lines = table.read_bytes().splitlines()[1:] if table.exists() else []
    words = [line.split() for line in lines]
    return tuple(Path(_unescape(each[0])) for each in words if each[1:2] == [b"file"])


def _unescape(path: bytes) -> str:
    r"""The kernel writes blanks, newlines and backslashes as \NNN in octal."""
    plain = re.sub(rb"\\([0-7]{3})", lambda found: bytes((int(found[1], 8) & 0xFF,)), path)
    return plain.decode(errors="surrogateescape")
