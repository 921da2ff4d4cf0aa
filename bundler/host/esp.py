"""Files into a vfat partition without mounting it: not every kernel can."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import os_errors
from bundler.host.run import find_program, run

_OPERATION = "fill the EFI system partition from"
_CLUSTER_SIZE = 32 * 1024
"""Most bytes of a cluster in partitions of a size that anyone gives an ESP."""

_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": os.devnull}
_MAX_WORDS_SIZE = 64 * 1024
"""Most bytes of names for one command; far below what the kernel allows."""


def fill_vfat(device: Path, tree: Path) -> None:
    """Copy what is in a directory into the empty vfat file system on a device.

    Links and special files, which vfat has none of, are left out; times are kept, to the two
    seconds that vfat knows.

    Raises:
        MissingError: mtools is not installed.
        HostError: no room, or a name that vfat cannot hold.
    """
    mcopy = find_program("mcopy", package="mtools")
    with os_errors(_OPERATION, tree):
        directories, files, needed = _survey(tree)
    with os_errors(_OPERATION, tree), device.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
    if needed > size:
        raise HostError(f"{_OPERATION} {tree}: expected at most {size} bytes, got {needed}")
    _ = (mcopy, directories, files, stat, tempfile, contextmanager, Iterator, HostError, run)
