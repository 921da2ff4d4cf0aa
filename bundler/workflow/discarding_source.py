"""An image without what is in the free blocks of its file systems."""

from collections.abc import Iterable, Iterator, Mapping

from bundler.host.image_file import merge_extents
from bundler.model.bundle import Extent
from bundler.model.free_space import FreeSpace
from bundler.workflow.bundle_source import BundleSource


class DiscardingSource:
    """A BundleSource whose free space reads as zeros, and is holes where these can be so small.

    Nothing of the image is changed.
    """

    def __init__(self, source: BundleSource, space: FreeSpace) -> None:
        self._source = source
        self._space = space
        self._mark = space.hexdigest

    @property
    def label(self) -> str:
        """As the image is called."""
        return self._source.label

    @property
    def size(self) -> int:
        """Bytes, holes included."""
        return self._source.size

    @property
    def identity(self) -> Mapping[str, object]:
        """The image's, and what of it is free."""
        return {**self._source.identity, "discard_free": self._mark}

    @property
    def change_mark(self) -> str:
        """The image's, and what of it is free; empty where the image has none."""
        mark = self._source.change_mark
        return f"{mark} {self._mark}" if mark else ""

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        """Where the image has data that is not free.

        Raises:
            HostError, AwsRefusedError, TransferError: it cannot be read.
        """
        extents = self._source.extents(dig_holes=dig_holes)
        return merge_extents(self._space.outside(extents), self.size)

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        """The extents' bytes, zeros where they are free: holes have a least size, and a number.

        Raises:
            InputError: the image changed while it was read.
            HostError, AwsRefusedError, TransferError: it cannot be read.
            CancelledError: cancel() was called.
        """
        for offset, piece in _located(extents, self._source.read(extents, lead=lead)):
            yield self._space.blank(offset, piece)

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer, or none, at the image's end.

        Raises:
            HostError, AwsRefusedError, TransferError: it cannot be read.
        """
        return self._space.blank(offset, self._source.read_at(offset, size))

    def cancel(self) -> None:
        """End a read() that is under way."""
        self._source.cancel()


def _located(extents: tuple[Extent, ...], chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The chunks of the extents' bytes with their offsets in the image, cut where extents end."""
    following = iter(extents)
    offset = end = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            if offset == end:
                extent = next(following)
                offset, end = extent.offset, extent.end
            piece = chunk[start : start + end - offset]
            yield offset, piece
            start += len(piece)
            offset += len(piece)
