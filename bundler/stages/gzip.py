"""One gzip member, deflated and inflated by several threads.

Readers of bundles stop at the end of the first member, so all blocks live in one: each is
deflated on its own and ends at a byte boundary, behind a mark that can be searched for.
"""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from isal import isal_zlib

from bundler.errors import VerificationError
from bundler.model.bundle import Chunk, CompressionLevel
from bundler.stages.deflate import FINAL_BLOCK, Deflater, deflater
from bundler.stages.inflate import inflate
from bundler.stages.split import split

BLOCK_SIZE = 1024 * 1024
"""Bytes of input deflated as one block; part of the output's definition."""

BLOCKS_AHEAD = 8
"""Blocks that wait beside those that are being deflated or inflated: the workers go on while
the consumer is busy with a whole part."""

HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"
"""Deflate, no name, no time, unknown system: the same input gives the same bytes."""

TRAILER = struct.Struct("<II")
"""CRC-32 and size modulo 2**32 of the input."""

_SIZE_MODULUS = 2**32
_FLAG_CRC, _FLAG_EXTRA, _FLAG_NAME, _FLAG_COMMENT, _FLAG_RESERVED = 2, 4, 8, 16, 0xE0
_MAX_HEADER_SIZE = 128 * 1024

Deflated = tuple[tuple[Chunk, ...], int, int]
"""A deflated block in pieces, the CRC-32 of its input and the input's size."""


def compress(chunks: Iterable[bytes], level: CompressionLevel, *, workers: int) -> Iterator[Chunk]:
    """Make one gzip member.

    The output depends on the input's bytes and the level alone, not on chunks or workers.
    Holds at most `workers` + BLOCKS_AHEAD blocks of BLOCK_SIZE bytes, before and after
    deflating.
    """
    deflate = deflater(level)
    crc = size = 0
    yield HEADER
    for block, block_crc, block_size in _deflated(blocks(chunks), deflate, workers):
        crc = isal_zlib.crc32_combine(crc, block_crc, block_size)
        size += block_size
        yield from block
    yield FINAL_BLOCK + TRAILER.pack(crc, size % _SIZE_MODULUS)


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Regroup chunks into blocks of BLOCK_SIZE bytes, the last one shorter."""
    return split(chunks, BLOCK_SIZE)


def _deflated(source: Iterator[bytes], deflate: Deflater, workers: int) -> Iterator[Deflated]:
    """Deflate blocks side by side; results in order."""

    def work(block: bytes) -> Deflated:
        return deflate(block), isal_zlib.crc32(block), len(block)

    zero_block = bytes(BLOCK_SIZE)
    zero_result: Future[Deflated] | None = None
    pending: deque[Future[Deflated]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="deflate")
    try:
        for block in source:
            if block == zero_block:
                # Images copied with dd are full of zeros: one such block is deflated once.
                zero_result = zero_result or pool.submit(work, zero_block)
                pending.append(zero_result)
            else:
                pending.append(pool.submit(work, block))
            if len(pending) >= workers + BLOCKS_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def decompress(chunks: Iterable[bytes], *, workers: int) -> Iterator[Chunk]:
    """Undo compress(), and read any other single gzip member.

    Raises:
        VerificationError: not gzip, cut short, damaged, or followed by more bytes.
    """
    source = iter(chunks)
    first = _skip_header(source)
    rest = bytearray()
    crc = size = 0
    for chunk in inflate(first, source, rest, workers=workers):
        crc = isal_zlib.crc32(chunk, crc)
        size += len(chunk)
        yield chunk
    for more in source:
        rest += more
        if len(rest) > TRAILER.size:
            break
    if len(rest) < TRAILER.size:
        raise VerificationError("gunzip: the stream is cut short")
    if len(rest) > TRAILER.size:
        raise VerificationError("gunzip: expected the end of the stream, got more bytes behind it")
    if TRAILER.unpack(bytes(rest)) != (crc, size % _SIZE_MODULUS):
        raise VerificationError("gunzip: the CRC-32 or the size does not hold")


def _skip_header(source: Iterator[bytes]) -> bytes:
    """Read over the member's header; what has been read of the deflate stream.

    Raises:
        VerificationError: no gzip header.
    """
    held = b""
    while (length := _header_length(held)) is None:
        more = next(source, None)
        if more is None or len(held) > _MAX_HEADER_SIZE:
            raise VerificationError("gunzip: expected a gzip header, got something else")
        held += more
    return held[length:]


def _header_length(held: bytes) -> int | None:
    """Bytes of the header at the start of `held`; None while more must be read (RFC 1952)."""
    if not HEADER[:3].startswith(held[:3]):
        raise VerificationError("gunzip: expected a gzip header, got something else")
    if len(held) < len(HEADER):
        return None
    flags, length = held[3], len(HEADER)
    if flags & _FLAG_RESERVED:
        raise VerificationError("gunzip: the gzip header has unknown flags")
    if flags & _FLAG_EXTRA:
        length += 2 + int.from_bytes(held[length : length + 2], "little")
    for flag in (_FLAG_NAME, _FLAG_COMMENT):
        if flags & flag:
            end = held.find(b"\0", length)
            if end < 0:
                return None
            length = end + 1
    length += 2 if flags & _FLAG_CRC else 0
    return length if length <= len(held) else None
