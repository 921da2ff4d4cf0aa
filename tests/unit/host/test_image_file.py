"""Image files: their extents found, their data read, and images written with holes."""

import os
from pathlib import Path
from random import Random

import pytest

from bundler.errors import InputError, MissingError
from bundler.host.image_file import (
    HOLE_SIZE,
    MAX_EXTENT_COUNT,
    ImageSource,
    merge_extents,
    nonzero_runs,
    write_sparse,
)
from bundler.model.bundle import Extent
from tests.support.images import (
    HOLE,
    MIB,
    Layout,
    dense,
    find_extents,
    image_bytes,
    layout_data,
    random_bytes,
    stored_bytes,
    striped,
    write_image,
)


def read_image(path: Path, *, dig_holes: bool) -> tuple[tuple[Extent, ...], bytes]:
    with ImageSource.open(path) as source:
        extents = source.extents(dig_holes=dig_holes)
        return extents, b"".join(bytes(chunk) for chunk in source.read(extents))


@pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 1000])
@pytest.mark.parametrize("dig_holes", [False, True])
def test_extents_are_those_of_the_file_system(
    tmp_path: Path,
    count: int,
    dig_holes: bool,
) -> None:
    layout = striped(count)
    data = layout_data(layout, seed=1)
    image = write_image(tmp_path / "image", layout, data)
    assert read_image(image, dig_holes=dig_holes) == (layout.extents, data)


@pytest.mark.parametrize("size", [1, 511, HOLE - 1, HOLE, HOLE + 1, MIB - 1, MIB, MIB + 1])
def test_a_dense_image_of_any_size(tmp_path: Path, size: int) -> None:
    data = random_bytes(size, seed=2)
    image = write_image(tmp_path / "image", dense(size), data)
    for dig_holes in (False, True):
        assert read_image(image, dig_holes=dig_holes) == (dense(size).extents, data)


def test_zeros_are_data_until_they_are_dug(tmp_path: Path) -> None:
    layout = Layout(
        size=3 * MIB + 100,
        extents=(
            Extent(offset=HOLE, size=HOLE),
            Extent(offset=MIB - HOLE, size=3 * HOLE),
            Extent(offset=3 * MIB - HOLE, size=HOLE + 100),
        ),
    )
    data = layout_data(layout, seed=3)
    image = write_image(tmp_path / "image", dense(layout.size), image_bytes(layout, data))
    assert read_image(image, dig_holes=False)[0] == dense(layout.size).extents
    assert read_image(image, dig_holes=True) == (layout.extents, data)


@pytest.mark.parametrize("size", [HOLE, MIB, 3 * MIB + HOLE])
def test_an_image_of_zeros_is_one_hole_when_dug(tmp_path: Path, size: int) -> None:
    image = write_image(tmp_path / "image", dense(size), bytes(size))
    assert read_image(image, dig_holes=True) == ((), b"")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: None, MissingError, "No such file"),
        (Path.mkdir, InputError, "expected a file, got a directory"),
        (Path.touch, InputError, "the image is empty"),
        (os.mkfifo, InputError, "expected a regular file or a block device"),
        (lambda path: path.symlink_to("/dev/null"), InputError, "or a block device"),
    ],
)
def test_what_is_no_image(
    tmp_path: Path, make: object, error: type[Exception], message: str
) -> None:
    assert callable(make)
    make(tmp_path / "image")
    with pytest.raises(error, match=message), ImageSource.open(tmp_path / "image"):
        pass


def test_an_image_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(write_image(tmp_path / "image", dense(5), b"12345"))
    assert read_image(tmp_path / "link", dig_holes=False)[1] == b"12345"


@pytest.mark.parametrize("change", ["time", "truncated", "shorter", "longer"])
def test_an_image_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    image = write_image(tmp_path / "image", dense(5 * MIB), random_bytes(5 * MIB, seed=4))
    with ImageSource.open(image) as source:
        chunks = source.read(source.extents(dig_holes=False))
        next(chunks)
        if change == "time":
            os.utime(image, ns=(1, 1))
        else:
            os.truncate(image, {"truncated": 0, "shorter": 5 * MIB - 1}.get(change, 6 * MIB))
        with pytest.raises(InputError, match=r"changed while it was read|bytes, got"):
            list(chunks)


def test_an_image_may_be_read_meanwhile(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image", dense(5), b"12345")
    with ImageSource.open(image) as source:
        os.utime(image, ns=(1, source.modified_ns))
        assert b"".join(source.read(dense(5).extents)) == b"12345"


def extents(*pairs: tuple[int, int]) -> tuple[Extent, ...]:
    """From starts and ends."""
    return tuple(Extent(offset=start, size=end - start) for start, end in pairs)


@pytest.mark.parametrize(
    ("runs", "merged"),
    [
        ([], []),
        ([(0, 1)], [(0, 4096)]),
        ([(1, 2), (3, 4)], [(0, 4096)]),
        ([(0, 4096), (4096, 8192)], [(0, 8192)]),
        ([(0, 4096), (8192, 12288)], [(0, 4096), (8192, 12288)]),
        ([(0, 4097), (8191, 8200)], [(0, 12288)]),
        ([(5000, 5001)], [(4096, 8192)]),
        ([(19_999, 20_000)], [(16384, 20_000)]),
        ([(0, 20_000)], [(0, 20_000)]),
    ],
)
def test_runs_are_aligned_and_joined(
    runs: list[tuple[int, int]], merged: list[tuple[int, int]]
) -> None:
    assert merge_extents(iter(extents(*runs)), 20_000) == extents(*merged)


@pytest.mark.parametrize("count", [MAX_EXTENT_COUNT, MAX_EXTENT_COUNT + 1, 3 * MAX_EXTENT_COUNT])
def test_the_count_of_extents_is_bounded(count: int) -> None:
    runs = [(2 * index * HOLE_SIZE, (2 * index + 1) * HOLE_SIZE) for index in range(count)]
    size = 2 * count * HOLE_SIZE
    merged = merge_extents(iter(extents(*runs)), size)
    assert len(merged) <= MAX_EXTENT_COUNT
    assert (merged == extents(*runs)) == (count <= MAX_EXTENT_COUNT)
    assert merged[0].offset == 0
    assert merged[-1].end >= runs[-1][1]


def test_the_smallest_holes_are_given_up_first() -> None:
    small = [(2 * index * HOLE_SIZE, (2 * index + 1) * HOLE_SIZE) for index in range(70_000)]
    end = small[-1][1]
    large = [(end + 100 * MIB * index, end + 100 * MIB * index + 5) for index in range(1, 4)]
    merged = merge_extents(iter(extents(*small, *large)), large[-1][1])
    assert [extent.offset for extent in merged[-3:]] == [
        start // HOLE_SIZE * HOLE_SIZE for start, _ in large
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1, HOLE - 1, HOLE, 3 * HOLE + 7, MIB])
def test_nonzero_runs_leave_out_nothing_but_zeros(seed: int, size: int) -> None:
    random = Random(seed)
    offset = random.choice((0, HOLE, 512, 4095, 1_000_001))
    chunk = bytearray(size)
    for _ in range(random.randint(0, 4)):
        chunk[random.randrange(size)] = 1
    copy = bytearray(size)
    for start, piece in nonzero_runs(bytes(chunk), offset):
        assert piece
        copy[start - offset : start - offset + len(piece)] = piece
    assert copy == chunk


def test_nonzero_runs_of_zeros_and_of_none() -> None:
    assert list(nonzero_runs(bytes(MIB), 0)) == []
    assert list(nonzero_runs(bytes(2 * HOLE), HOLE)) == []
    assert list(nonzero_runs(b"", 0)) in ([], [(0, b"")])
    full = b"\1" * MIB
    assert [(start, bytes(piece)) for start, piece in nonzero_runs(full, 5)] == [(5, full)]


@pytest.mark.parametrize("chunk_size", [1000, HOLE, 100_000, MIB])
def test_write_sparse_makes_holes_of_zeros(tmp_path: Path, chunk_size: int) -> None:
    layout = striped(20, run=16 * HOLE)
    image = image_bytes(layout, layout_data(layout, seed=5))
    chunks = (
        (start, image[start : start + chunk_size]) for start in range(0, len(image), chunk_size)
    )
    path = tmp_path / "image"
    with path.open("w+b", buffering=0) as file:
        write_sparse(file, chunks, len(image))
    assert path.read_bytes() == image
    if chunk_size >= HOLE:
        assert stored_bytes(path) < len(image) * 2 // 3


def test_write_sparse_leaves_holes_between_the_runs(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("w+b", buffering=0) as file:
        write_sparse(file, iter([(HOLE, b"one"), (10 * MIB, b"two")]), 2**40)
    assert path.stat().st_size == 2**40
    assert [extent.offset for extent in find_extents(path)] == [HOLE, 10 * MIB]
    with path.open("rb") as file:
        file.seek(10 * MIB)
        assert file.read(4) == b"two\0"
