"""Write whole files in a thread of their own, past the page cache where the disk allows it.

A bundle is larger than many an instance's memory: through the page cache it would push out
what the machine works with, and cost a copy and a page of memory for every 4 KiB.
"""

import errno
import fcntl
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from bundler.model.bundle import MIB

BUFFER_SIZE = 4 * MIB
"""Bytes written at a time."""

MAX_WAITING = 2
"""Most files that wait for the disk: beyond it the caller waits, so that memory is bounded."""

_ALIGNMENT = 4096
"""Direct writes begin and end at multiples of this many bytes, in memory and on the disk."""


class FileWriter:
    """Writes new files in the background; write() and finish() are for one thread."""

    def __init__(self) -> None:
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        # Memory from mmap begins at a page, which direct writes need.
        self._buffer = mmap.mmap(-1, BUFFER_SIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._buffer.close()

    def stop(self) -> None:
        """Give up files that wait; the one that is being written is written to its end."""
        self._thread.shutdown(cancel_futures=True)

    def write(self, path: Path, data: bytes) -> None:
        """Begin to write a new file; it is safe on the disk only after finish().

        Raises:
            OSError: an earlier file could not be written.
        """
        self._waiting.append(self._thread.submit(self._write, path, data))
        self._wait(MAX_WAITING)

    def finish(self) -> None:
        """Wait until all files are safe on the disk.

        Raises:
            OSError: one could not be written.
        """
        self._wait(0)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = _create(path)
        try:
            view = memoryview(data)
            for start in range(0, len(view), BUFFER_SIZE):
                self._write_piece(descriptor, view[start : start + BUFFER_SIZE])
            os.ftruncate(descriptor, len(data))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write_piece(self, descriptor: int, piece: memoryview) -> None:
        """Write up to BUFFER_SIZE bytes, filled up with zeros to the alignment."""
        size = -(-len(piece) // _ALIGNMENT) * _ALIGNMENT
        self._buffer[: len(piece)] = piece
        self._buffer[len(piece) : size] = bytes(size - len(piece))
        with memoryview(self._buffer) as whole, whole[:size] as rest:
            written = 0
            while written < size:
                try:
                    written += os.write(descriptor, rest[written:])
                except OSError as error:
                    if error.errno != errno.EINVAL or not _is_direct(descriptor):
                        raise
                    _turn_direct_off(descriptor)
                if written % _ALIGNMENT:  # a short write, on a disk that is about to be full
                    _turn_direct_off(descriptor)


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # A file system without direct writes may have made the file before it refused.
    path.unlink(missing_ok=True)
    return os.open(path, flags, 0o666)


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def _turn_direct_off(descriptor: int) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
