"""One-member GNU tar: pack an image's extents, unpack them again.

GNU's old sparse format (type S) is the one that all readers of bundles take; an image
without holes becomes a plain member (type 0).
"""

from array import array
from collections.abc import Iterable, Iterator

from bundler.errors import InputError
from bundler.model.bundle import MAX_NAME_SIZE, Chunk, Extent

BLOCK_SIZE = 512
"""Bytes of a tar block; headers and data are padded to it."""

RECORD_SIZE = 20 * BLOCK_SIZE
"""An archive is padded to a multiple of this many bytes."""

MAX_SIZE = 2**62
"""Most bytes that an image may claim to have: seeks behind it fail."""

MAX_MAP_ENTRIES = 4 * 1024 * 1024
"""Most entries that a sparse map may have when read: 64 MiB of memory; our choice."""

MAX_EXTENSION_SIZE = 1024 * 1024
"""Most bytes of a long name or pax record when read; our choice."""

MAX_PADDING = 16 * 1024 * 1024
"""Most zeros behind the image when read; our choice, records of a thousand blocks fit."""

_HEADER_ENTRIES = 4
_EXTENSION_ENTRIES = 21
_ENTRY_SIZE = 24
_MAP_OFFSET = 386
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
    head_size = BLOCK_SIZE + BLOCK_SIZE * _extension_count(runs, size)
    padded = -(-stored_size // BLOCK_SIZE) * BLOCK_SIZE + head_size + 2 * BLOCK_SIZE
    yield bytes(-(-padded // RECORD_SIZE) * RECORD_SIZE - head_size - stored_size)


def packed_size(size: int, extents: tuple[Extent, ...]) -> int:
    """Bytes of the stream that pack() makes."""
    stored = -(-sum(run.size for run in extents) // BLOCK_SIZE) * BLOCK_SIZE
    blocks = stored + BLOCK_SIZE * (1 + _extension_count(extents, size) + 2)
    return -(-blocks // RECORD_SIZE) * RECORD_SIZE


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
        real_size, runs = _read_map(reader, header)
    else:
        real_size = _number(header[124:136])
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


def _is_sparse(runs: tuple[Extent, ...], size: int) -> bool:
    return runs != (Extent(offset=0, size=size),)


def _entries(runs: tuple[Extent, ...], size: int) -> Iterator[tuple[int, int]]:
    """The sparse map; an image that ends in a hole needs an empty entry to tell its size."""
    for run in runs:
        yield run.offset, run.size
    if not runs or runs[-1].end != size:
        yield size, 0


def _extension_count(runs: tuple[Extent, ...], size: int) -> int:
    if not _is_sparse(runs, size):
        return 0
    entry_count = len(runs) + (not runs or runs[-1].end != size)
    return max(0, -(-(entry_count - _HEADER_ENTRIES) // _EXTENSION_ENTRIES))


def _field(number: int, width: int) -> bytes:
    """A numeric field: octal digits and NUL, or GNU's base-256 where they do not fit."""
    digits = b"%0*o" % (width - 1, number)
    if len(digits) < width:
        return digits + b"\0"
    return b"\x80" + number.to_bytes(width - 1, "big")


def _header(name: str, size: int, stored_size: int, runs: tuple[Extent, ...]) -> bytes:
    encoded_name = name.encode()
    if not 0 < len(encoded_name) <= MAX_NAME_SIZE:
        raise ValueError(f"a member's name has 1 to {MAX_NAME_SIZE} bytes")
    header = bytearray(BLOCK_SIZE)
    header[0 : len(encoded_name)] = encoded_name
    header[100:124] = _field(0o644, 8) + _field(0, 8) + _field(0, 8)
    header[124:136] = _field(stored_size, 12)
    header[136:148] = _field(0, 12)  # mtime: the same image gives the same bytes
    header[257:265] = _GNU_MAGIC
    header[265:269] = header[297:301] = b"root"
    extensions = b""
    if _is_sparse(runs, size):
        header[156:157] = b"S"
        entries = b"".join(
            _field(offset, 12) + _field(length, 12) for offset, length in _entries(runs, size)
        )
        in_header = entries[: _HEADER_ENTRIES * _ENTRY_SIZE]
        header[_MAP_OFFSET : _MAP_OFFSET + len(in_header)] = in_header
        extensions = _map_extensions(entries[len(in_header) :])
        header[482] = bool(extensions)
        header[483:495] = _field(size, 12)
    else:
        header[156:157] = b"0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + extensions


def _map_extensions(entries: bytes) -> bytes:
    step = _EXTENSION_ENTRIES * _ENTRY_SIZE
    blocks = [entries[start : start + step] for start in range(0, len(entries), step)]
    return b"".join(
        block.ljust(step, b"\0") + bytes([index + 1 < len(blocks)]) + bytes(BLOCK_SIZE - step - 1)
        for index, block in enumerate(blocks)
    )


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


def _number(text: bytes) -> int:
    """A numeric field: octal, or base-256 when its first bit is set; never negative.

    Raises:
        InputError: anything else, or more than MAX_SIZE.
    """
    if text[0] == 0x80:
        number = int.from_bytes(text[1:], "big")
    else:
        digits = text.strip(b" \0")
        if not all(digit in b"01234567" for digit in digits):
            raise InputError(f"untar image: {text!r} is no size or offset")
        number = int(digits or b"0", 8)
    if number > MAX_SIZE:
        raise InputError(f"untar image: a size or offset of {number} bytes is absurd")
    return number


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
        extension_size = _number(header[124:136])
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
    if _number(header[148:156]) != expected or not any(header):
        raise InputError("untar image: the tar header's checksum does not hold")


def _read_map(reader: _Reader, header: bytes) -> tuple[int, Iterator[tuple[int, int]]]:
    """Real size and sparse map, the map checked: in order, apart, inside, and all stored."""
    real_size = _number(header[483:495])
    offsets, sizes = array("Q"), array("Q")
    block, start, count, extended = header, _MAP_OFFSET, _HEADER_ENTRIES, header[482] != 0
    end = 0
    while True:
        if block is not header and block[12] == 0:  # else such headers could go on for ever
            raise InputError("untar image: an extension of the sparse map is empty")
        for at in range(start, start + count * _ENTRY_SIZE, _ENTRY_SIZE):
            if block[at + 12] == 0:  # an unused entry has no size field
                break
            offset, size = _number(block[at : at + 12]), _number(block[at + 12 : at + 24])
            if offset < end or offset + size > real_size:
                raise InputError(
                    f"untar image: sparse extent {offset}+{size} overlaps, is out of order "
                    f"or lies outside the image of {real_size} bytes"
                )
            end = offset + size
            offsets.append(offset)
            sizes.append(size)
        if not extended:
            break
        if len(offsets) > MAX_MAP_ENTRIES:
            raise InputError(f"untar image: more than {MAX_MAP_ENTRIES} sparse extents")
        block = reader.take(BLOCK_SIZE)
        start, count, extended = 0, _EXTENSION_ENTRIES, block[504] != 0
    stored_size = _number(header[124:136])
    if sum(sizes) != stored_size:
        raise InputError(
            f"untar image: the sparse map holds {sum(sizes)} bytes, the member {stored_size}"
        )
    return real_size, zip(offsets, sizes, strict=True)
