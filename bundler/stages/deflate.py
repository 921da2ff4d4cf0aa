"""Deflate one block on its own, so that blocks can be joined into one stream.

Every deflater gives whole bytes that end in an empty stored block (as a sync flush does),
are not final, and need no bytes of earlier blocks: blocks may be made, and inflated, side by
side.
"""

from collections.abc import Callable

from isal import isal_zlib
from zlib_ng import zlib_ng

from bundler.model.bundle import Chunk, CompressionLevel
from bundler.stages.libdeflate import RAW_DEFLATE, load_joiner

FINAL_BLOCK = b"\x03\x00"
"""An empty final deflate block: ends a stream made of joined blocks."""

Deflater = Callable[[bytes], tuple[Chunk, ...]]
"""Gives the pieces of a deflated block."""

_LIBDEFLATE_LEVELS = {CompressionLevel.BALANCED: 5, CompressionLevel.SMALL: 12}
_FALLBACK_LEVELS = {CompressionLevel.BALANCED: 6, CompressionLevel.SMALL: 9}


def deflater(level: CompressionLevel) -> Deflater:
    """The deflater of a level; thread-safe."""
    if level is CompressionLevel.FAST:
        return _deflate_isal
    joiner = load_joiner(_LIBDEFLATE_LEVELS[level])
    if joiner is not None:
        return lambda block: (joiner.deflate(block),)
    fallback = _FALLBACK_LEVELS[level]
    return lambda block: _deflate_zlib_ng(block, fallback)


def has_fallen_back(level: CompressionLevel) -> bool:
    """Whether this machine lacks what the level is meant to be deflated with."""
    return level is not CompressionLevel.FAST and load_joiner(_LIBDEFLATE_LEVELS[level]) is None


def describe_deflater(level: CompressionLevel) -> str:
    """What deflates at this level on this machine, for -v."""
    if level is CompressionLevel.FAST:
        return "ISA-L level 1"
    if not has_fallen_back(level):
        return f"libdeflate level {_LIBDEFLATE_LEVELS[level]}"
    return f"zlib-ng level {_FALLBACK_LEVELS[level]} (no zlib library to join libdeflate's blocks)"


def _deflate_isal(block: bytes) -> tuple[Chunk, ...]:
    stream = isal_zlib.compressobj(1, isal_zlib.DEFLATED, RAW_DEFLATE)
    return stream.compress(block), stream.flush(isal_zlib.Z_SYNC_FLUSH)


def _deflate_zlib_ng(block: bytes, level: int) -> tuple[Chunk, ...]:
    stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, RAW_DEFLATE)
    return stream.compress(block), stream.flush(zlib_ng.Z_SYNC_FLUSH)
