"""Look at a stream without changing it: hash and count what passes."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

from bundler.model.bundle import Chunk
from bundler.model.digest import Digest

AnyChunk = TypeVar("AnyChunk", bound=Chunk)


class Tap:
    """Passes chunks on, unchanged, while it hashes (SHA-1) and counts them."""

    def __init__(self) -> None:
        # Bundles know no other digest: every reader breaks on anything but SHA-1.
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._size = 0

    def __call__(self, chunks: Iterable[AnyChunk]) -> Iterator[AnyChunk]:
        """Pass on `chunks`."""
        for chunk in chunks:
            self._sha1.update(chunk)
            self._size += len(chunk)
            yield chunk

    @property
    def digest(self) -> Digest:
        """SHA-1 of all that has passed; of the whole only when the stream has ended."""
        return Digest(value=self._sha1.digest())

    @property
    def size(self) -> int:
        """Bytes that have passed."""
        return self._size


def sha1_digest(data: bytes) -> Digest:
    """SHA-1 of bytes at hand."""
    return Digest(value=hashlib.sha1(data, usedforsecurity=False).digest())
