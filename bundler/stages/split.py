"""Cut a stream into parts, and put parts together."""

from collections.abc import Iterable, Iterator


def split(chunks: Iterable[bytes], part_size: int) -> Iterator[bytes]:
    """Cut into parts of `part_size` bytes, the last shorter but never empty.

    Holds one part, and the chunk that completes it, in memory.
    """
    pieces: list[bytes | memoryview] = []
    held = 0
    for chunk in chunks:
        if not held and len(chunk) == part_size:
            yield chunk
            continue
        view = memoryview(chunk)
        while held + len(view) >= part_size:
            room = part_size - held
            yield b"".join([*pieces, view[:room]])
            pieces, held, view = [], 0, view[room:]
        if view:
            pieces.append(view)
            held += len(view)
    if pieces:
        yield b"".join(pieces)


def join(parts: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Undo split(): the parts' chunks, one part after another."""
    for part in parts:
        yield from part
