"""Where an image holds nothing that anybody can still read as a file: blocks that are free."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from hashlib import sha256

from bundler.errors import InputError
from bundler.model.bundle import Extent

MAX_RUN_COUNT = 4 * 1024 * 1024
"""Most runs of free blocks that are told apart, to bound memory (16 bytes each); our choice."""


class FreeSpace:
    """Runs of free bytes of an image, in order and apart; offsets and sizes in bytes."""

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._starts, self._ends = array("Q"), array("Q")
        self.size = 0
        """Bytes in all runs."""
        for start, end in runs:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Add the run from `start` up to `end`, behind all that are there.

        Raises:
            InputError: it is empty, overlaps or is out of order; or there are too many.
        """
        last = self._ends[-1] if self._ends else 0
        if not last <= start < end:
            raise InputError(f"free blocks: the run {start}-{end} is empty or out of order")
        if self._ends and start == last:
            self._ends[-1] = end
        elif len(self._ends) == MAX_RUN_COUNT:
            raise InputError(f"free blocks: expected at most {MAX_RUN_COUNT} runs, got more")
        else:
            self._starts.append(start)
            self._ends.append(end)
        self.size += end - start

    def runs(self) -> Iterator[tuple[int, int]]:
        """Start and end of each run."""
        return zip(self._starts, self._ends, strict=True)

    @property
    def hexdigest(self) -> str:
        """What the same runs are known again by."""
        return sha256(self._starts.tobytes() + self._ends.tobytes()).hexdigest()

    def outside(self, extents: Iterable[Extent]) -> Iterator[Extent]:
        """What of the extents, which are in order, is not free."""
        for extent in extents:
            position = extent.offset
            for start, end in self._within(extent.offset, extent.end):
                if position < start:
                    yield Extent(offset=position, size=start - position)
                position = end
            if position < extent.end:
                yield Extent(offset=position, size=extent.end - position)

    def inside(self, extents: Iterable[Extent]) -> Iterator[Extent]:
        """What of the extents, which are in order, is free."""
        for extent in extents:
            for start, end in self._within(extent.offset, extent.end):
                yield Extent(offset=start, size=end - start)

    def blank(self, offset: int, chunk: bytes) -> bytes:
        """`chunk`, which lies at `offset`, with zeros where it is free."""
        blanked: bytearray | None = None
        for start, end in self._within(offset, offset + len(chunk)):
            if blanked is None:
                blanked = bytearray(chunk)
            blanked[start - offset : end - offset] = bytes(end - start)
        return chunk if blanked is None else bytes(blanked)

    def _within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The runs between `start` and `end`, cut there."""
        for index in range(bisect_right(self._ends, start), len(self._ends)):
            if self._starts[index] >= end:
                return
            yield max(self._starts[index], start), min(self._ends[index], end)
