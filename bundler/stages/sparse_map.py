"""The sparse map of GNU's old sparse format, and tar's numeric fields.

Four entries stand in the member's header, further ones in blocks behind it, 21 in each.
"""

from array import array
from collections.abc import Callable, Iterator

from bundler.errors import InputError
from bundler.model.bundle import Extent

BLOCK_SIZE = 512
"""Bytes of a tar block; headers and data are padded to it."""

MAX_SIZE = 2**62
"""Most bytes that an image may claim to have: seeks behind it fail."""

MAX_MAP_ENTRIES = 4 * 1024 * 1024
"""Most entries that a sparse map may have when read: 64 MiB of memory; our choice."""

STORED_SIZE = slice(124, 136)
"""Where a header tells the bytes that are stored behind it."""

_REAL_SIZE = slice(483, 495)
_IS_EXTENDED = 482
_MAP_OFFSET = 386
_HEADER_ENTRIES = 4
_EXTENSION_ENTRIES = 21
_ENTRY_SIZE = 24


def render_number(number: int, width: int) -> bytes:
    """A numeric field: octal digits and NUL, or GNU's base-256 where they do not fit."""
    digits = b"%0*o" % (width - 1, number)
    if len(digits) < width:
        return digits + b"\0"
    return b"\x80" + number.to_bytes(width - 1, "big")


def parse_number(text: bytes) -> int:
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


def is_sparse(extents: tuple[Extent, ...], size: int) -> bool:
    """Whether an image of `size` bytes has holes."""
    return extents != (Extent(offset=0, size=size),)


def extension_count(extents: tuple[Extent, ...], size: int) -> int:
    """Blocks that the map takes behind the header."""
    if not is_sparse(extents, size):
        return 0
    entry_count = len(extents) + _ends_in_hole(extents, size)
    return max(0, -(-(entry_count - _HEADER_ENTRIES) // _EXTENSION_ENTRIES))


def render_map(header: bytearray, extents: tuple[Extent, ...], size: int) -> bytes:
    """Write the map into a member's header; the blocks that come behind the header."""
    pairs = [(extent.offset, extent.size) for extent in extents]
    if _ends_in_hole(extents, size):
        pairs.append((size, 0))  # an empty entry tells where the image ends
    entries = b"".join(render_number(number, 12) for pair in pairs for number in pair)
    in_header = entries[: _HEADER_ENTRIES * _ENTRY_SIZE]
    header[_MAP_OFFSET : _MAP_OFFSET + len(in_header)] = in_header
    header[_IS_EXTENDED] = len(entries) > len(in_header)
    header[_REAL_SIZE] = render_number(size, 12)
    return _render_extensions(entries[len(in_header) :])


def _ends_in_hole(extents: tuple[Extent, ...], size: int) -> bool:
    return not extents or extents[-1].end != size


def _render_extensions(entries: bytes) -> bytes:
    step = _EXTENSION_ENTRIES * _ENTRY_SIZE
    blocks = [entries[start : start + step] for start in range(0, len(entries), step)]
    return b"".join(
        block.ljust(step, b"\0") + bytes([index + 1 < len(blocks)]) + bytes(BLOCK_SIZE - step - 1)
        for index, block in enumerate(blocks)
    )


def parse_map(header: bytes, take: Callable[[int], bytes]) -> tuple[int, Iterator[tuple[int, int]]]:
    """The image's size and its runs of data (offset, size): in order, apart, all stored.

    `take(count)` gives the next `count` bytes behind the header.

    Raises:
        InputError: the map does not hold, or is too large.
    """
    real_size = parse_number(header[_REAL_SIZE])
    offsets, sizes = array("Q"), array("Q")
    block, start, count = header, _MAP_OFFSET, _HEADER_ENTRIES
    is_extended = header[_IS_EXTENDED] != 0
    while True:
        for offset, size in _entries(block, start, count):
            end = offsets[-1] + sizes[-1] if offsets else 0
            if offset < end or offset + size > real_size:
                raise InputError(
                    f"untar image: sparse extent {offset}+{size} overlaps, is out of order "
                    f"or lies outside the image of {real_size} bytes"
                )
            offsets.append(offset)
            sizes.append(size)
        if not is_extended:
            break
        if len(offsets) > MAX_MAP_ENTRIES:
            raise InputError(f"untar image: more than {MAX_MAP_ENTRIES} sparse extents")
        block, start, count = take(BLOCK_SIZE), 0, _EXTENSION_ENTRIES
        is_extended = block[_EXTENSION_ENTRIES * _ENTRY_SIZE] != 0
        if block[12] == 0:  # else such headers could go on for ever
            raise InputError("untar image: an extension of the sparse map is empty")
    _check_stored(sum(sizes), header)
    return real_size, zip(offsets, sizes, strict=True)


def _entries(block: bytes, start: int, count: int) -> Iterator[tuple[int, int]]:
    for at in range(start, start + count * _ENTRY_SIZE, _ENTRY_SIZE):
        if block[at + 12] == 0:  # an unused entry has no size field
            return
        yield parse_number(block[at : at + 12]), parse_number(block[at + 12 : at + 24])


def _check_stored(mapped_size: int, header: bytes) -> None:
    stored_size = parse_number(header[STORED_SIZE])
    if mapped_size != stored_size:
        raise InputError(
            f"untar image: the sparse map holds {mapped_size} bytes, the member {stored_size}"
        )
