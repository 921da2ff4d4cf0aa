"""An image's data to blocks of one size, those of zeros left out."""

from collections.abc import Iterable, Iterator

from bundler.model.bundle import Chunk


def to_blocks(runs: Iterable[tuple[int, Chunk]], block_size: int) -> Iterator[tuple[int, bytes]]:
    """Blocks (index, bytes) that are not all zeros, in order; the last is filled up with zeros.

    `runs` are (offset, bytes) in order; what lies between them is zeros.  Memory: one block
    besides the run at hand.

    Raises:
        ValueError: a run begins before the last one has ended: our bug.
    """
    zeros = bytes(block_size)
    block, index, end = bytearray(), 0, 0
    for offset, chunk in runs:
        if offset < end:
            raise ValueError(f"run at {offset} begins before {end}, where the last one ends")
        view = memoryview(chunk)
        end = offset + len(view)
        while view:
            at, start = divmod(offset, block_size)
            if at != index:
                yield from _unless_zero(index, block, zeros)
                block, index = bytearray(), at
            piece = view[: block_size - start]
            # Appended, not put into a block of zeros: most blocks come whole and in order.
            block += zeros[: start - len(block)]
            block += piece
            view, offset = view[len(piece) :], offset + len(piece)
    yield from _unless_zero(index, block, zeros)


def _unless_zero(index: int, block: bytearray, zeros: bytes) -> Iterator[tuple[int, bytes]]:
    block += zeros[len(block) :]
    if block != zeros:
        yield index, bytes(block)
