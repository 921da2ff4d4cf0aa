"""Image files and block devices: where their data lies, and reading and writing it."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from bundler.errors import InputError
from bundler.host.files import os_errors
from bundler.model.bundle import MIB, Chunk, Extent

CHUNK_SIZE = MIB
"""Bytes read at a time."""

HOLE_SIZE = 4096
"""Granularity of holes in bytes: the block size of the file systems in question."""

MAX_EXTENT_COUNT = 64 * 1024
"""Most extents told apart; beyond it the smallest holes count as data, to bound memory."""

SYNC_STEP = 32 * MIB
"""Bytes written before the disk is told to begin; measured."""

_ZERO_CHUNK = bytes(CHUNK_SIZE)
_ZERO_BLOCK = bytes(HOLE_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """An image file or block device, open for reading; `size` in bytes, holes included."""

    path: Path
    descriptor: int
    size: int
    modified_ns: int
    changed_ns: int
    """When the file was last changed in any way (ctime); 0 for devices, which do not tell."""

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open an image; it is closed at the end of the block.

        Raises:
            MissingError: no such file.
            InputError: a directory, a pipe, or empty.
            HostError: it may not be read.
        """
        with os_errors("read image", path):
            # O_NONBLOCK: opening a named pipe must not wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with os_errors("read image", path):
                state = os.fstat(descriptor)
                if stat.S_ISDIR(state.st_mode):
                    raise InputError(f"read image {path}: expected a file, got a directory")
                if not (stat.S_ISREG(state.st_mode) or stat.S_ISBLK(state.st_mode)):
                    raise InputError(
                        f"read image {path}: expected a regular file or a block device"
                    )
                size = os.lseek(descriptor, 0, os.SEEK_END)
            if size == 0:
                raise InputError(f"read image {path}: the image is empty")
            yield cls(
                path=path,
                descriptor=descriptor,
                size=size,
                modified_ns=state.st_mtime_ns,
                changed_ns=state.st_ctime_ns if stat.S_ISREG(state.st_mode) else 0,
            )
        finally:
            os.close(descriptor)

    @property
    def label(self) -> str:
        """The path, for messages."""
        return str(self.path)

    @property
    def identity(self) -> Mapping[str, object]:
        """What tells, as far as a file system does, that the content is the same."""
        return {"mtime_ns": self.modified_ns}

    @property
    def change_mark(self) -> str:
        """The time of the last change in any way; empty for devices."""
        return str(self.changed_ns) if self.changed_ns else ""

    def cancel(self) -> None:
        """Nothing: disks do not keep anybody waiting."""

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        """Where the data lies, from the file system; aligned to HOLE_SIZE.

        With `dig_holes` the data is read, and blocks of zeros count as holes too.

        Raises:
            HostError: the image cannot be read.
        """
        with os_errors("read image", self.path):
            runs = self._stored_runs()
            return merge_extents(self._dig(runs) if dig_holes else runs, self.size)

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """The extents' bytes, one after another, in chunks of at most CHUNK_SIZE bytes.

        Where an extent is long enough, chunks end at multiples of CHUNK_SIZE in a stream that
        has `lead` bytes in front: whoever cuts that stream there again need not copy them.

        Raises:
            InputError: the image changed or shrank while it was read.
            HostError: it cannot be read.
        """
        yield from self.read_unchecked(extents, lead=lead)
        with os_errors("read image", self.path):
            state = os.fstat(self.descriptor)
        if stat.S_ISREG(state.st_mode) and (
            (state.st_size, state.st_mtime_ns) != (self.size, self.modified_ns)
        ):
            raise InputError(f"read image {self.path}: the image changed while it was read")

    def read_unchecked(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """As read(), for who sees for himself that the image does not change meanwhile.

        Raises:
            InputError: the image shrank while it was read.
            HostError: it cannot be read.
        """
        for extent in extents:
            with os_errors("read image", self.path):
                yield from self._read_run(extent, lead)
            lead += extent.size

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer, or none, at the image's end.

        Raises:
            HostError: it cannot be read.
        """
        if not 0 <= offset < self.size:
            return b""
        with os_errors("read image", self.path):
            return os.pread(self.descriptor, min(size, self.size - offset), offset)

    def _read_run(self, run: Extent, lead: int = 0) -> Iterator[bytes]:
        offset = run.offset
        while offset < run.end:
            room = CHUNK_SIZE - (lead + offset - run.offset) % CHUNK_SIZE
            chunk = os.pread(self.descriptor, min(room, run.end - offset), offset)
            if not chunk:
                raise InputError(
                    f"read image {self.path}: expected {self.size} bytes, got {offset}"
                )
            offset += len(chunk)
            yield chunk

    def _stored_runs(self) -> Iterator[Extent]:
        """Data runs by SEEK_DATA and SEEK_HOLE; the whole where those are not known."""
        offset = 0
        while offset < self.size:
            try:
                start = os.lseek(self.descriptor, offset, os.SEEK_DATA)
                end = os.lseek(self.descriptor, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    return
                if error.errno != errno.EINVAL:
                    raise
                start, end = offset, self.size
            yield Extent(offset=start, size=end - start)
            offset = end

    def _dig(self, runs: Iterator[Extent]) -> Iterator[Extent]:
        """Those pieces of `runs` that are not zeros."""
        for run in runs:
            offset = run.offset
            for chunk in self._read_run(run):
                for start, piece in nonzero_runs(chunk, offset):
                    yield Extent(offset=start, size=len(piece))
                offset += len(chunk)


def merge_extents(runs: Iterator[Extent], size: int) -> tuple[Extent, ...]:
    """Align runs outward to HOLE_SIZE, join those that touch, and bound their count.

    `runs` are in order; `size` is the image's size in bytes.
    """
    least_hole = HOLE_SIZE
    merged: list[tuple[int, int]] = []
    for run in runs:
        _append_run(merged, (run.offset, run.end), size, least_hole)
        while len(merged) > MAX_EXTENT_COUNT:
            least_hole *= 2
            wider: list[tuple[int, int]] = []
            for pair in merged:
                _append_run(wider, pair, size, least_hole)
            merged = wider
    return tuple(Extent(offset=start, size=end - start) for start, end in merged)


def _append_run(
    merged: list[tuple[int, int]], run: tuple[int, int], size: int, least_hole: int
) -> None:
    start = run[0] // HOLE_SIZE * HOLE_SIZE
    end = min(-(-run[1] // HOLE_SIZE) * HOLE_SIZE, size)
    if merged and start - merged[-1][1] < least_hole:
        merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
    else:
        merged.append((start, end))


def nonzero_runs(chunk: Chunk, offset: int) -> Iterator[tuple[int, Chunk]]:
    """Pieces of `chunk`, which lies at `offset`, without its aligned blocks of zeros."""
    if len(chunk) == CHUNK_SIZE and chunk == _ZERO_CHUNK:
        return
    if _ZERO_BLOCK not in chunk:  # the common case, at the speed of a search
        yield offset, chunk
        return
    start: int | None = None
    position = 0
    while position < len(chunk):
        end = min(position + HOLE_SIZE - (offset + position) % HOLE_SIZE, len(chunk))
        is_zero = chunk[position:end].count(0) == end - position
        if is_zero and start is not None:
            yield offset + start, chunk[start:position]
            start = None
        elif not is_zero and start is None:
            start = position
        position = end
    if start is not None:
        yield offset + start, chunk[start:]


def write_sparse(file: BinaryIO, runs: Iterator[tuple[int, Chunk]], size: int) -> None:
    """Write an image of `size` bytes: zeros and what lies between the runs become holes.

    The disk is kept busy meanwhile, so that little is left to wait for in the end.

    Raises:
        OSError: the disk is full or refuses.
    """
    descriptor = file.fileno()
    os.ftruncate(descriptor, size)
    unsynced = 0
    syncing: Future[None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="sync") as pool:
        for run_offset, chunk in runs:
            for offset, piece in nonzero_runs(chunk, run_offset):
                _pwrite_all(descriptor, piece, offset)
                unsynced += len(piece)
            if unsynced >= SYNC_STEP and (syncing is None or syncing.done()):
                if syncing is not None:
                    syncing.result()
                syncing, unsynced = pool.submit(os.fdatasync, descriptor), 0
        if syncing is not None:
            syncing.result()


def _pwrite_all(descriptor: int, data: Chunk, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
