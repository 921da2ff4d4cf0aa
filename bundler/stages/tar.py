"""One-member GNU tar: pack an image's extents, unpack them again.

GNU's old sparse format (type S) is the one that all readers of bundles take; an image
without holes becomes a plain member (type 0).
"""

from collections.abc import Iterable, Iterator

from bundler.errors import InputError
from bundler.model.bundle import MAX_NAME_SIZE, Chunk, Extent
from bundler.stages.sparse_map import (
    BLOCK_SIZE,
    STORED_SIZE,
    extension_count,
    is_sparse,
    parse_map,
    parse_number,
    render_map,
    render_number,
)

RECORD_SIZE = 20 * BLOCK_SIZE
"""An archive is padded to a multiple of this many bytes."""

MAX_EXTENSION_SIZE = 1024 * 1024
"""Most bytes of a long name or pax record when read; our choice."""

MAX_PADDING = 16 * 1024 * 1024
"""Most zeros behind the image when read; our choice, records of a thousand blocks fit."""

_GNU_MAGIC = b"ustar  \0"
_POSIX_MAGIC = b"ustar\x0000"


def pack(name: str, size: int, extents: Iterable[Extent], data: Iterable[bytes]) -> Iterator[bytes]:
    """Make the tar stream of one image.

    Args:
        name: the member's name, at most MAX_NAME_SIZE bytes.
        size: bytes of the image, holes included.
        extents: runs of data in order, starts and ends multiples of BLOCK_SIZE (but the
            image's end).
        data: the extents' bytes, one after another, in chunks of any size.

    Raises:
        ValueError: the name or an extent breaks the rules above: our bug.
        InputError: `data` is shorter or longer than the extents.
    """
    runs = tuple(extents)
    _check_extents(runs, size)
    stored_size = sum(run.size for run in runs)
    yield _header(name, size, stored_size, runs)
    seen = 0
    for chunk in data:
        seen += len(chunk)
        yield chunk
    if seen != stored_size:
        raise InputError(f"image {name}: expected {stored_size} bytes of data, got {seen}")
    # The end: the data's last block is filled up, then two empty blocks, then the record.
    yield bytes(packed_size(size, runs) - header_size(size, runs) - stored_size)


def header_size(size: int, extents: tuple[Extent, ...]) -> int:
    """Bytes of that stream in front of the image's data."""
    return BLOCK_SIZE * (1 + extension_count(extents, size))


def packed_size(size: int, extents: tuple[Extent, ...]) -> int:
    """Bytes of the stream that pack() makes."""
    stored = -(-sum(run.size for run in extents) // BLOCK_SIZE) * BLOCK_SIZE
    least = header_size(size, extents) + stored + 2 * BLOCK_SIZE
    return -(-least // RECORD_SIZE) * RECORD_SIZE


def unpack(chunks: Iterable[Chunk], *, size: int) -> Iterator[tuple[int, Chunk]]:
    """Undo pack(): yield (offset in the image, bytes), offsets rising; the rest are holes.

    `size` is the image's size in bytes, which the archive must agree with.  Reads all of
    `chunks`, so that a digest over them is complete when this ends.

    Raises:
        InputError: not one plain or sparse file of that size, or followed by anything.
    """
    reader = _Reader(chunks)
    header = _read_member_header(reader)
    if header[156:157] == b"S":
        real_size, runs = parse_map(header, reader.take)
    else:
        real_size = parse_number(header[STORED_SIZE])
        runs = iter([(0, real_size)])
    if real_size != size:
        raise InputError(f"untar image: expected {size} bytes, got a member of {real_size}")
    for offset, run_size in runs:
        position = offset
        for chunk in reader.stream(run_size):
            yield position, chunk
            position += len(chunk)
        reader.skip(-run_size % BLOCK_SIZE)
    reader.expect_end()


def _check_extents(runs: tuple[Extent, ...], size: int) -> None:
    end = 0
    for run in runs:
        aligned = run.offset % BLOCK_SIZE == 0 and (run.end % BLOCK_SIZE == 0 or run.end == size)
        if run.offset < end or run.size <= 0 or run.end > size or not aligned:
            raise ValueError(f"extent {run.offset}+{run.size} of {size} is out of order or range")
        end = run.end


def _header(name: str, size: int, stored_size: int, runs: tuple[Extent, ...]) -> bytes:
    encoded_name = name.encode()
    if not 0 < len(encoded_name) <= MAX_NAME_SIZE:
        raise ValueError(f"a member's name has 1 to {MAX_NAME_SIZE} bytes")
    header = bytearray(BLOCK_SIZE)
    header[0 : len(encoded_name)] = encoded_name
    header[100:124] = render_number(0o644, 8) + render_number(0, 8) + render_number(0, 8)
    header[STORED_SIZE] = render_number(stored_size, 12)
    header[136:148] = render_number(0, 12)  # mtime: the same image gives the same bytes
    header[257:265] = _GNU_MAGIC
    header[265:269] = header[297:301] = b"root"
    extensions = b""
    if is_sparse(runs, size):
        header[156:157] = b"S"
        extensions = render_map(header, runs, size)
    else:
        header[156:157] = b"0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + extensions


class _Reader:
    """Takes exact counts of bytes out of chunks of any size."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = iter(chunks)
        self._chunk: Chunk | memoryview = b""

    def stream(self, count: int) -> Iterator[Chunk]:
        while count:
            if not self._chunk:
                fresh = next(self._chunks, None)
                if fresh is None:
                    raise InputError(f"untar image: the archive ends {count} bytes early")
                self._chunk = fresh
            piece: Chunk | memoryview
            if len(self._chunk) <= count:
                piece, self._chunk = self._chunk, b""
            else:
                view = memoryview(self._chunk)
                piece, self._chunk = view[:count], view[count:]
            if piece:
                count -= len(piece)
                yield bytes(piece) if isinstance(piece, memoryview) else piece

    def take(self, count: int) -> bytes:
        return b"".join(self.stream(count))

    def skip(self, count: int) -> None:
        for _ in self.stream(count):
            pass

    def expect_end(self) -> None:
        """Read on to the very end: at least two empty blocks, and nothing but zeros."""
        seen = 0
        if self._chunk:
            seen += _check_zero(bytes(self._chunk))
        for chunk in self._chunks:
            seen += _check_zero(chunk)
            if seen > MAX_PADDING:
                raise InputError(f"untar image: more than {MAX_PADDING} zeros behind the image")
        if seen < 2 * BLOCK_SIZE:
            raise InputError("untar image: the archive's end is missing")


def _check_zero(chunk: Chunk) -> int:
    if chunk.count(0) != len(chunk):
        raise InputError("untar image: expected one member, got more behind it")
    return len(chunk)


def _read_member_header(reader: _Reader) -> bytes:
    """The header of the one file; long names and pax records before it are skipped.

    Nothing in them is needed: the name is not believed, and a size is asked of the header.
    """
    for _ in range(8):
        header = reader.take(BLOCK_SIZE)
        _check_header(header)
        kind = header[156:157]
        if kind in (b"0", b"\0", b"S"):
            return header
        if kind not in (b"L", b"x", b"g"):
            raise InputError(
                f"untar image: expected a plain or sparse file, got a member of type {kind!r}"
            )
        extension_size = parse_number(header[STORED_SIZE])
        if extension_size > MAX_EXTENSION_SIZE:
            raise InputError(f"untar image: a header extension of {extension_size} bytes")
        extension = reader.take(-(-extension_size // BLOCK_SIZE) * BLOCK_SIZE)
        if kind != b"L" and (b"GNU.sparse." in extension or b" size=" in extension):
            raise InputError("untar image: pax sparse members are not supported")
    raise InputError("untar image: too many header extensions")


def _check_header(header: bytes) -> None:
    if header[257:265] not in (_GNU_MAGIC, _POSIX_MAGIC) and header[257:263] != bytes(6):
        raise InputError("untar image: not a tar archive")
    expected = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if parse_number(header[148:156]) != expected or not any(header):
        raise InputError("untar image: the tar header's checksum does not hold")
