from random import Random

import pytest

from bundler.errors import InputError
from bundler.model.bundle import Extent
from bundler.model.free_space import FreeSpace
from tests.support.images import random_bytes


def cut(random: Random, size: int, count: int) -> list[tuple[int, int]]:
    """Runs in order and apart, or touching one another."""
    points = sorted(random.sample(range(size + 1), 2 * count))
    return list(zip(points[::2], points[1::2], strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_it_is_as_bytes_say(seed: int) -> None:
    random = Random(seed)
    size = random.randint(40, 300)
    free = FreeSpace(cut(random, size, random.randint(0, 9)))
    extents = [Extent(offset=a, size=b - a) for a, b in cut(random, size, random.randint(0, 9))]
    is_free = bytearray(size)
    for start, end in free.runs():
        is_free[start:end] = b"\1" * (end - start)
    is_data = bytearray(size)
    for extent in extents:
        is_data[extent.offset : extent.end] = b"\1" * extent.size

    def drawn(found: list[Extent]) -> bytes:
        drawing = bytearray(size)
        for extent in found:
            drawing[extent.offset : extent.end] = b"\1" * extent.size
        return bytes(drawing)

    both = list(zip(is_data, is_free, strict=True))
    assert drawn(list(free.outside(extents))) == bytes(a & 1 - b for a, b in both)
    assert drawn(list(free.inside(extents))) == bytes(a & b for a, b in both)
    assert free.size == sum(is_free)
    data = random_bytes(size, seed)
    start = random.randint(0, size)
    expected = bytes(byte * (1 - b) for byte, b in zip(data, is_free, strict=True))
    assert free.blank(start, data[start:]) == expected[start:]


def test_runs_that_touch_are_one() -> None:
    assert list(FreeSpace([(0, 4), (4, 8), (9, 10)]).runs()) == [(0, 8), (9, 10)]


def test_it_is_known_by_its_runs() -> None:
    marks = [FreeSpace(runs).hexdigest for runs in ([], [(0, 4)], [(0, 5)], [(0, 2), (3, 4)])]
    assert len(set(marks)) == 4
    assert FreeSpace([(0, 2), (2, 4)]).hexdigest == marks[1]


@pytest.mark.parametrize("run", [(3, 5), (4, 4), (7, 6), (0, 1)])
def test_runs_out_of_order(run: tuple[int, int]) -> None:
    free = FreeSpace([(0, 4)])
    with pytest.raises(InputError, match="empty or out of order"):
        free.add(*run)
