"""Inflate a deflate stream, by several threads where it allows that.

compress() makes blocks that need nothing of the blocks before them and that end in the mark
of a sync flush.  So a mark may be where the next block can be inflated on its own; whether
it is one shows only when the bytes before it have been inflated and end exactly there.
Nothing is passed on before that is known, and where it does not hold (a stream by gzip or
pigz) one thread goes on from the last place that is known to be right.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import deflate
from isal import isal_zlib

from bundler.errors import VerificationError
from bundler.model.bundle import Chunk
from bundler.stages.libdeflate import RAW_DEFLATE

CHUNK_SIZE = 1024 * 1024
"""Most bytes of a chunk inflated by one thread, so that a bomb cannot fill the memory."""

MAX_SEGMENT_SIZE = 2 * 1024 * 1024
"""Most bytes before inflating that are tried as one block; longer ones go to one thread."""

MAX_BLOCK_SIZE = 4 * 1024 * 1024
"""Most bytes that a block may inflate to when tried on its own."""

_InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # stub says value
_WINDOW_SIZE = 32 * 1024
_MARK = b"\x00\x00\xff\xff"
_MERGE_LIMIT = 3

_NONCE = b"boundary"
_TERMINATOR = b"\x01\x08\x00\xf7\xff" + _NONCE
"""A final stored block of 8 bytes.  A stream that stands at a block boundary gives back just
these bytes and ends; one in the middle of a block does not, unless its maker wants his own
bundle to be refused."""


def inflate(
    first: bytes, source: Iterator[bytes], rest: bytearray, *, workers: int
) -> Iterator[Chunk]:
    """Inflate one raw deflate stream that begins with `first` and goes on in `source`.

    Appends to `rest` what was taken from `source` behind the stream's end.  Chunks have at
    most MAX_BLOCK_SIZE bytes; about `workers` + 2 of them are held.

    Raises:
        VerificationError: damaged or cut short.
    """
    splitter = _Splitter(first, source)
    window = bytearray()
    left: deque[bytes] = deque()
    for chunk in _inflate_blocks(splitter, left, workers):
        # Only the last 32 KiB can be referred to by what follows.
        window += chunk[-_WINDOW_SIZE:]
        del window[:-_WINDOW_SIZE]
        yield chunk
    left.append(splitter.take_held())
    yield from _inflate_serial(_drain(left, source), bytes(window), rest)
    rest += b"".join(left)


def _drain(left: deque[bytes], source: Iterator[bytes]) -> Iterator[bytes]:
    while left:
        yield left.popleft()
    # Not `yield from`: whoever leaves this generator early would close the source, and the
    # trailer may still be in there.
    for chunk in source:  # noqa: UP028
        yield chunk


class _Splitter:
    """Cuts a stream behind each mark; what has no near mark is held."""

    def __init__(self, first: bytes, source: Iterator[bytes]) -> None:
        self._source = source
        self._held = bytearray(first)
        self._searched = 0

    def next_segment(self) -> bytes | None:
        """Bytes up to and with the next mark; None when there is none within reach."""
        while True:
            found = self._held.find(_MARK, self._searched)
            if found >= 0:
                end = found + len(_MARK)
                segment = bytes(memoryview(self._held)[:end])
                del self._held[:end]
                self._searched = 0
                return segment
            self._searched = max(0, len(self._held) - len(_MARK) + 1)
            if len(self._held) > MAX_SEGMENT_SIZE:
                return None
            more = next(self._source, None)
            if more is None:
                return None
            self._held += more

    def take_held(self) -> bytes:
        """What was read and not given out."""
        held = bytes(self._held)
        self._held.clear()
        return held


def _inflate_block(segment: bytes) -> bytearray | None:
    """Inflate a segment on its own; None unless it ends exactly at a block boundary."""
    try:
        # libdeflate needs a whole stream at once, and is the fastest there is.
        block: bytearray = deflate.deflate_decompress(
            segment + _TERMINATOR, MAX_BLOCK_SIZE + len(_NONCE)
        )
    except deflate.DeflateError:
        return None
    if not block.endswith(_NONCE):
        return None
    del block[-len(_NONCE) :]
    return block


def _inflate_blocks(splitter: _Splitter, left: deque[bytes], workers: int) -> Iterator[Chunk]:
    """Inflate segments side by side for as long as each proves to be a block.

    Leaves in `left` the segments that were taken and not inflated, in order.
    """
    pending: deque[tuple[bytes, Future[bytearray | None]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="inflate")

    def fill() -> None:
        while len(pending) < workers + 2:
            segment = splitter.next_segment()
            if segment is None:
                break
            if pending and pending[-1][0] == segment:  # runs of zeros: the same block again
                pending.append(pending[-1])
            else:
                pending.append((segment, pool.submit(_inflate_block, segment)))

    try:
        while True:
            fill()
            if not pending:
                return
            segment, future = pending.popleft()
            block = future.result()
            merges = 0
            while block is None and pending and merges < _MERGE_LIMIT:
                # The mark's four bytes may stand in the data by chance: try the next one.
                segment += pending.popleft()[0]
                block = _inflate_block(segment)
                merges += 1
            if block is None:
                left.append(segment)
                left.extend(segment for segment, _ in pending)
                return
            yield block
    finally:
        pool.shutdown(cancel_futures=True)


def _inflate_serial(chunks: Iterable[bytes], window: bytes, rest: bytearray) -> Iterator[bytes]:
    """Inflate what remains of a stream in one thread, `window` being what came before."""
    stream = isal_zlib.decompressobj(RAW_DEFLATE, zdict=window)
    try:
        for chunk in chunks:
            if stream.eof:
                rest += chunk
                return
            data = chunk
            while True:
                block = stream.decompress(data, CHUNK_SIZE)
                if block:
                    yield block
                data = stream.unconsumed_tail
                if not data and len(block) < CHUNK_SIZE:
                    break
                if stream.eof:
                    break
            if stream.eof:
                rest += stream.unused_data
                return
    except _InflateError as error:
        raise VerificationError(f"gunzip: the stream is damaged ({error})") from error
    raise VerificationError("gunzip: the stream is cut short")
