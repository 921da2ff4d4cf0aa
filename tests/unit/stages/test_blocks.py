"""Image data to blocks."""

from collections.abc import Iterator
from random import Random

import pytest

from bundler.stages.blocks import to_blocks
from tests.support.images import chunked

BLOCK = 10


def blocks_of(image: bytes) -> list[tuple[int, bytes]]:
    pieces = [image[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(image), BLOCK)]
    return [(index, piece) for index, piece in enumerate(pieces) if any(piece)]


@pytest.mark.parametrize("seed", range(40))
def test_runs_of_any_sizes_at_any_places(seed: int) -> None:
    random = Random(seed)
    image = bytearray(random.randint(0, 200))
    runs: list[tuple[int, bytes]] = []
    position = 0
    while position < len(image):
        position += random.choice((0, 0, 1, random.randint(1, 40)))
        size = min(random.randint(1, 25), len(image) - position)
        data = random.choice((random.randbytes(max(size, 0)), bytes(max(size, 0))))
        for piece in chunked(data, seed, largest=7):
            runs.append((position, piece))
            image[position : position + len(piece)] = piece
            position += len(piece)
    assert list(to_blocks(runs, BLOCK)) == blocks_of(bytes(image))


def test_runs_that_go_back_are_refused() -> None:
    with pytest.raises(ValueError, match="run at 9 begins before 10"):
        list(to_blocks([(0, bytes(10)), (9, b"x")], BLOCK))


def test_a_block_is_given_as_soon_as_the_next_one_begins() -> None:
    taken: list[int] = []

    def runs() -> Iterator[tuple[int, bytes]]:
        for index in range(3):
            taken.append(index)
            yield index * BLOCK, b"x" * BLOCK

    assert next(to_blocks(runs(), BLOCK))[0] == 0
    assert taken == [0, 1]
