"""An image file that gives its room back while it is read: for --consume."""

import ctypes
import errno
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from bundler.errors import HostError, InputError
from bundler.host.files import os_errors
from bundler.host.image_file import HOLE_SIZE, ImageSource
from bundler.model.bundle import MIB, Extent

PUNCH_STEP = 8 * MIB
"""Bytes that are read before their room is given back; our choice: few calls, little room."""

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
# Source: linux/falloc.h; fallocate(2).

_logger = logging.getLogger(__name__)


class ConsumingSource:
    """The BundleSource of a file that nobody needs any more; make it with open().

    What read() has handed on is a hole afterwards, and what lay between the extents too: the
    file is of zeros when all of it was read.
    """

    def __init__(self, source: ImageSource, descriptor: int) -> None:
        self._source = source
        self._descriptor = descriptor
        self._modified_ns = source.modified_ns
        self._is_read = False
        self._end = source.size + -source.size % HOLE_SIZE

    @classmethod
    @contextmanager
    def open(cls, source: ImageSource) -> Iterator[Self]:
        """Make sure that the file can be consumed; nothing of it is changed yet.

        `source` may be of a file without a name.

        Raises:
            InputError: a block device, or changed since `source` was opened.
            HostError: it may not be written to, or its file system has no holes to be punched.
        """
        path = source.path
        if not stat.S_ISREG(os.fstat(source.descriptor).st_mode):
            raise InputError(f"consume image {path}: expected a file, got a device")
        with os_errors("consume image", path):
            # The very file, whatever has its name now.
            name = f"/proc/self/fd/{source.descriptor}"
            descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            consuming = cls(source, descriptor)
            consuming._check_punching()
            yield consuming
        finally:
            os.close(descriptor)

    @property
    def label(self) -> str:
        """The path, for messages."""
        return self._source.label

    @property
    def size(self) -> int:
        """Bytes, holes included."""
        return self._source.size

    @property
    def identity(self) -> Mapping[str, object]:
        """As of the file before it is read."""
        return self._source.identity

    @property
    def change_mark(self) -> str:
        """As of the file before it is read."""
        return self._source.change_mark

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        """Where the data lies; see ImageSource.

        Raises:
            HostError: the image cannot be read.
        """
        return self._source.extents(dig_holes=dig_holes)

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """The extents' bytes, once only; the room of a chunk is given back after the next is asked.

        Raises:
            RuntimeError: it was called before.
            InputError: somebody else has changed the image while it was read.
            HostError: it cannot be read.
        """
        if self._is_read:
            raise RuntimeError("an image that is consumed can be read once only")
        self._is_read = True
        done = 0
        for extent in extents:
            position = extent.offset
            for chunk in self._source.read_unchecked((extent,), lead=lead):
                yield chunk
                position += len(chunk)
                if position - done >= PUNCH_STEP:
                    done = self._punch(done, position - position % HOLE_SIZE)
            lead += extent.size
        self._punch(done, self._end)

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; zeros where read() has been.

        Raises:
            HostError: it cannot be read.
        """
        return self._source.read_at(offset, size)

    def cancel(self) -> None:
        """Nothing: disks do not keep anybody waiting."""

    def _check_punching(self) -> None:
        """Punch behind the file's end, where nothing is.

        Raises:
            InputError: the image has changed already.
            HostError: the file system cannot do that.
        """
        self._check_unchanged()
        code = _punch_hole(self._descriptor, self._end, HOLE_SIZE)
        if code:
            raise HostError(
                f"consume image {self.label}: expected a file system that can punch holes, got "
                f"{os.strerror(code)}; leave --consume out"
            )
        self._look_at_time()

    def _punch(self, start: int, end: int) -> int:
        """Give back the room from `start` to `end`; the end."""
        self._check_unchanged()
        if start < end and (code := _punch_hole(self._descriptor, start, end - start)):
            # What is read is not in danger; there is less room than hoped for.
            _logger.warning(
                "consume image %s: no room given back: %s", self.label, os.strerror(code)
            )
        self._look_at_time()
        return end

    def _check_unchanged(self) -> None:
        with os_errors("read image", self.label):
            state = os.fstat(self._descriptor)
        if (state.st_size, state.st_mtime_ns) != (self.size, self._modified_ns):
            raise InputError(f"read image {self.label}: the image changed while it was read")

    def _look_at_time(self) -> None:
        """Our own punching is a change, too."""
        with os_errors("read image", self.label):
            self._modified_ns = os.fstat(self._descriptor).st_mtime_ns


def _punch_hole(descriptor: int, offset: int, size: int) -> int:
    """Make a hole; 0, or the number of the error.  Python's os module does not know it."""
    library = ctypes.CDLL(None, use_errno=True)
    # Where numbers of files have 32 bits, the one with 64 has a name of its own.
    function = getattr(library, "fallocate64", None) or library.fallocate
    while function(
        descriptor, _PUNCH_HOLE | _KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(size)
    ):
        code = ctypes.get_errno()
        if code != errno.EINTR:
            return code
    return 0
