"""Images that tests bundle: exact bytes, exact holes, exact sizes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

from bundler.model.bundle import Extent

MIB = 1024 * 1024

HOLE = 4096
"""Bytes of a hole's unit on the file systems that tests run on."""


def random_bytes(size: int, seed: int) -> bytes:
    """Bytes that no program can compress; the same seed gives the same."""
    return Random(seed).randbytes(size)


def text_bytes(size: int, seed: int) -> bytes:
    """Bytes that compress well, without being all alike."""
    random = Random(seed)
    words = [random.randbytes(random.randint(2, 9)).hex().encode() for _ in range(200)]
    pieces: list[bytes] = []
    length = 0
    while length < size:
        piece = b" ".join(random.choices(words, k=50)) + b"\n"
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces)[:size]


def chunked(data: bytes, seed: int, largest: int = 70_000) -> Iterator[bytes]:
    """`data` in chunks of random sizes, some of them empty."""
    random = Random(seed)
    view = memoryview(data)
    while view:
        size = random.choice((0, 1, 2, random.randint(1, 600), random.randint(1, largest)))
        yield bytes(view[:size])
        view = view[size:]
    yield b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An image by its runs of data; what lies between them are holes."""

    size: int
    extents: tuple[Extent, ...]

    @property
    def data_size(self) -> int:
        """Bytes that are not holes."""
        return sum(extent.size for extent in self.extents)


def dense(size: int) -> Layout:
    """One run over the whole image."""
    return Layout(size=size, extents=(Extent(offset=0, size=size),))


def striped(count: int, *, run: int = HOLE, ends_in_hole: bool = True) -> Layout:
    """`count` runs with a hole of the same size before each of them."""
    extents = tuple(Extent(offset=(2 * index + 1) * run, size=run) for index in range(count))
    return Layout(size=2 * run * count + (run if ends_in_hole or not count else 0), extents=extents)


def layout_data(layout: Layout, seed: int) -> bytes:
    """Data for all runs of a layout, one after another, no aligned block of it all zeros."""
    return random_bytes(layout.data_size, seed)


def write_image(path: Path, layout: Layout, data: bytes) -> Path:
    """Write an image with just these runs of data allocated."""
    view = memoryview(data)
    with path.open("wb") as file:
        file.truncate(layout.size)
        for extent in layout.extents:
            file.seek(extent.offset)
            file.write(view[: extent.size])
            view = view[extent.size :]
    assert not view
    return path


def image_bytes(layout: Layout, data: bytes) -> bytes:
    """The image that write_image() writes."""
    image = bytearray(layout.size)
    position = 0
    for extent in layout.extents:
        image[extent.offset : extent.end] = data[position : position + extent.size]
        position += extent.size
    return bytes(image)


def find_extents(path: Path) -> tuple[Extent, ...]:
    """Where a file has data, asked of the file system."""
    size = path.stat().st_size
    extents: list[Extent] = []
    descriptor = os.open(path, os.O_RDONLY)
    try:
        position = 0
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # nothing but a hole up to the end
                break
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            extents.append(Extent(offset=start, size=position - start))
    finally:
        os.close(descriptor)
    return tuple(extents)


def stored_bytes(path: Path) -> int:
    """Bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(4 * MIB):
            digest.update(chunk)
    return digest.hexdigest()
