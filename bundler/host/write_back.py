"""Whether all that was written to a mounted file system has reached its device.

Programs such as rsync end well when the kernel has taken their data, though the disk below the
device may be full when it writes them: neither they nor umount(2) are told, and the files have
holes.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.host.files import os_errors

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def written_back(target: Path, *, what: str) -> Iterator[None]:
    """Write back, at the end of the block, all of the file system mounted at `target`.

    Older kernels than Linux 5.8 do not tell of all errors.  Source: syncfs(2).

    Raises:
        HostError: something written in the block is lost; `what` is the file system, for people.
    """
    with os_errors("write", what):
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        with os_errors("write", what):
            if _libc.syncfs(descriptor):
                number = ctypes.get_errno()
                more = "; is the disk full?" if number == errno.EIO else ""
                raise OSError(number, os.strerror(number) + more)
    finally:
        os.close(descriptor)
