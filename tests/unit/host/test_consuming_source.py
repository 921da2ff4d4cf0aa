import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bundler.errors import HostError, InputError
from bundler.host.consuming_source import PUNCH_STEP, ConsumingSource
from bundler.host.image_file import ImageSource
from tests.support.file_systems import mounted
from tests.support.images import (
    MIB,
    Layout,
    dense,
    layout_data,
    random_bytes,
    stored_bytes,
    striped,
    write_image,
)


@contextmanager
def consuming(path: Path) -> Iterator[ConsumingSource]:
    with ImageSource.open(path) as source, ConsumingSource.open(source) as found:
        yield found


@pytest.mark.parametrize(
    "layout",
    [
        dense(1),
        dense(MIB + 5000),
        dense(3 * PUNCH_STEP + 777),
        striped(5),
        striped(9, run=3 * MIB, ends_in_hole=False),
        Layout(size=MIB, extents=()),
    ],
    ids=lambda layout: f"{len(layout.extents)}-{layout.size}",
)
def test_what_was_read_takes_no_room(tmp_path: Path, layout: Layout) -> None:
    data = layout_data(layout, 1)
    path = write_image(tmp_path / "image", layout, data)
    with consuming(path) as source:
        extents = source.extents(dig_holes=False)
        assert extents == layout.extents
        assert b"".join(source.read(extents, lead=1536)) == data
        assert source.size == layout.size
    assert path.stat().st_size == layout.size
    assert stored_bytes(path) == 0


def test_room_is_given_back_on_the_way_and_not_before(tmp_path: Path) -> None:
    layout = dense(8 * PUNCH_STEP)
    path = write_image(tmp_path / "image", layout, layout_data(layout, 1))
    with consuming(path) as source:
        before, position = stored_bytes(path), 0
        for chunk in source.read(layout.extents):
            position += len(chunk)
            # What was handed on just now may not have been used yet.
            held = before - stored_bytes(path)
            assert position - PUNCH_STEP - 2 * MIB <= held <= position - len(chunk)


def test_what_is_not_read_goes_too(tmp_path: Path) -> None:
    layout = dense(2 * PUNCH_STEP)
    path = write_image(tmp_path / "image", layout, layout_data(layout, 1))
    with consuming(path) as source:
        assert list(source.read(())) == []
    assert stored_bytes(path) == 0


def test_a_file_without_a_name(tmp_path: Path) -> None:
    data = random_bytes(MIB, 1)
    descriptor = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    try:
        os.write(descriptor, data)
        with consuming(Path(f"/proc/self/fd/{descriptor}")) as source:
            assert b"".join(source.read(source.extents(dig_holes=False))) == data
        assert os.fstat(descriptor).st_blocks == 0
    finally:
        os.close(descriptor)


def test_it_is_read_once_only(tmp_path: Path) -> None:
    path = write_image(tmp_path / "image", dense(9), b"123456789")
    with consuming(path) as source:
        list(source.read(()))
        with pytest.raises(RuntimeError, match="once only"):
            list(source.read(()))


def test_a_change_by_others_is_seen(tmp_path: Path) -> None:
    layout = dense(3 * PUNCH_STEP)
    path = write_image(tmp_path / "image", layout, layout_data(layout, 1))
    with consuming(path) as source:
        chunks = source.read(layout.extents)
        for _ in range(PUNCH_STEP // MIB + 2):
            next(chunks)
        os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match="the image changed while it was read"):
            list(chunks)


def test_a_change_before_is_seen(tmp_path: Path) -> None:
    path = write_image(tmp_path / "image", dense(MIB), random_bytes(MIB, 1))
    with ImageSource.open(path) as image:
        os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match="changed"), ConsumingSource.open(image):
            pass
    assert stored_bytes(path) == MIB


def test_where_no_holes_can_be_punched(tmp_path: Path) -> None:
    with mounted(tmp_path / "ramfs", "-t", "ramfs") as root:
        path = write_image(root / "image", dense(9), b"123456789")
        with (
            ImageSource.open(path) as image,
            pytest.raises(HostError, match=r"got Operation not supported; leave --consume out"),
            ConsumingSource.open(image),
        ):
            pass
        assert path.read_bytes() == b"123456789"
