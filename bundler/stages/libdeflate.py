"""Deflate with libdeflate, and turn its finished streams into blocks that can be joined.

libdeflate compresses better and faster than zlib but knows no flush: each call gives a
finished deflate stream.  To go on behind it, the final bit of its last deflate block must be
cleared, and only an inflater that stops at block boundaries (zlib's Z_BLOCK) can tell where
that bit lies.  The walk inflates the block anyway, so every block is proven to give back its
input before it is used.
"""

import ctypes
import threading
from dataclasses import dataclass
from functools import cache

import deflate
from zlib_ng import zlib_ng

_Z_BLOCK = 5
_Z_OK = 0
RAW_DEFLATE = -15
"""The wbits argument for deflate without header and trailer, with the largest window."""

_AT_BOUNDARY = 128
_IN_LAST_BLOCK = 64
_UNUSED_BITS = 63
_SYNC_MARK = b"\x00\x00\xff\xff"


class _Stream(ctypes.Structure):
    """z_stream of zlib.h and zng_stream of zlib-ng.h.

    They differ only behind `data_type` where pointers and longs have 64 bits.
    """

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_size_t),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_size_t),
        ("msg", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("rest", ctypes.c_uint * 5),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Library:
    """A zlib with a C interface: where it is and what it calls its functions."""

    path: str | None
    """None: the running program itself, which may hold a static zlib."""
    prefix: str
    version: bytes
    stream_size: int


_LIBRARIES = (
    # The zlib-ng inside the zlib-ng package walks a fifth faster than zlib.
    _Library(path=zlib_ng.__file__, prefix="zng_", version=b"2.2.0", stream_size=104),
    _Library(path="libz.so.1", prefix="", version=b"1.2.11", stream_size=112),
    _Library(path=None, prefix="", version=b"1.2.11", stream_size=112),
)


class _Walker:
    """Inflates deflate streams one block at a time; serves one thread."""

    def __init__(self, library: _Library) -> None:
        """Load the library.

        Raises:
            OSError: there is no such library here.
            AttributeError: it does not have zlib's functions.
        """
        functions = ctypes.CDLL(library.path)
        self._inflate = functions[f"{library.prefix}inflate"]
        self._reset = functions[f"{library.prefix}inflateReset"]
        initialise = functions[f"{library.prefix}inflateInit2_"]
        self._end = functions[f"{library.prefix}inflateEnd"]
        self._stream = _Stream()
        self._address = ctypes.byref(self._stream)
        self._output = bytearray()
        if initialise(self._address, RAW_DEFLATE, library.version, library.stream_size) != _Z_OK:
            raise OSError("zlib refuses our stream structure")

    def __del__(self) -> None:
        if hasattr(self, "_address"):
            self._end(self._address)

    def find_last_block(self, finished: bytearray, original: bytes) -> tuple[int, int]:
        """Bit offsets of the last deflate block's header and of the stream's end.

        Raises:
            RuntimeError: `finished` does not inflate to `original`.
        """
        if len(self._output) != len(original):
            self._output = bytearray(len(original))
        source = (ctypes.c_char * len(finished)).from_buffer(finished)
        target = (ctypes.c_char * len(original)).from_buffer(self._output)
        stream = self._stream
        self._reset(self._address)
        stream.next_in, stream.avail_in = ctypes.addressof(source), len(finished)
        stream.next_out, stream.avail_out = ctypes.addressof(target), len(original)
        header = 0
        while True:
            result = self._inflate(self._address, _Z_BLOCK)
            state = stream.data_type
            if result != _Z_OK or not state & _AT_BOUNDARY:
                raise RuntimeError("libdeflate: the block does not inflate")
            boundary = stream.total_in * 8 - (state & _UNUSED_BITS)
            if state & _IN_LAST_BLOCK:
                break
            header = boundary
        del source, target
        if stream.total_out != len(original) or self._output != original:
            raise RuntimeError("libdeflate: the block inflates to other bytes")
        return header, boundary


class LibdeflateJoiner:
    """Deflates blocks with libdeflate at one level, joinable; thread-safe."""

    def __init__(self, level: int, library: _Library) -> None:
        """Use `library` to find the bits to change.

        Raises:
            OSError: the library cannot be used on this machine.
            AttributeError: it lacks a function.
        """
        self._level = level
        self._library = library
        self._local = threading.local()
        self._walker()

    def deflate(self, block: bytes) -> bytearray:
        """Deflate a block of at least one byte: whole bytes, not final, byte-aligned end.

        Raises:
            RuntimeError: the result does not give back the block: a broken library.
        """
        joined: bytearray = deflate.deflate_compress(block, self._level)
        header, end = self._walker().find_last_block(joined, block)
        joined[header >> 3] &= ~(1 << (header & 7)) & 0xFF
        # An empty stored block: 3 header bits, zeros up to the byte's end, then its lengths.
        has_room = len(joined) * 8 - end >= 3
        joined += _SYNC_MARK if has_room else b"\x00" + _SYNC_MARK
        return joined

    def _walker(self) -> _Walker:
        walker: _Walker | None = getattr(self._local, "walker", None)
        if walker is None:
            walker = self._local.walker = _Walker(self._library)
        return walker


@cache
def load_joiner(level: int) -> LibdeflateJoiner | None:
    """A joiner of that level; None where no zlib with a C interface can be loaded."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    for library in _LIBRARIES:
        try:
            return LibdeflateJoiner(level, library)
        except (OSError, AttributeError):
            continue
    return None
