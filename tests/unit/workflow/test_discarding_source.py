from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.errors import InputError
from bundler.host.image_file import MAX_EXTENT_COUNT, ImageSource
from bundler.host.state_file import StateFile
from bundler.model.bundle import Extent
from bundler.model.free_space import FreeSpace
from bundler.model.image import Architecture
from bundler.workflow.bundle_image import BundleSpec
from bundler.workflow.bundle_source import BundleSource
from bundler.workflow.discarding_source import DiscardingSource
from bundler.workflow.keys import new_bundle_key
from bundler.workflow.publish_state import (
    EarlierRun,
    PublishState,
    describe_manifest,
    describe_source,
)
from tests.support.bundles import ACCOUNT, EC2_CERT, USER_KEY, load_certificate, load_key
from tests.support.images import MIB, chunked, random_bytes

HOLE = 4096


class Memory:
    """A BundleSource that gives its bytes in chunks that do not end where extents do."""

    label = "memory"
    identity: Mapping[str, object] = {"mtime_ns": 1}
    change_mark = "1"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def extents(self, *, dig_holes: bool) -> tuple[Extent, ...]:
        del dig_holes
        return (Extent(offset=0, size=self.size),)

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        data = b"".join(self._data[extent.offset : extent.end] for extent in extents)
        return chunked(data, seed=lead)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]

    def cancel(self) -> None:
        """Nothing is under way."""


class Ones(Memory):
    """One of many bytes, which need no memory."""

    def __init__(self, size: int) -> None:
        super().__init__(b"")
        self.size = size

    def read(self, extents: tuple[Extent, ...], *, lead: int = 0) -> Iterator[bytes]:
        del lead
        size = sum(extent.size for extent in extents)
        return (b"\1" * min(MIB, size - done) for done in range(0, size, MIB))


def test_free_runs_smaller_than_holes_are_zeros() -> None:
    data = random_bytes(20 * HOLE, 1)
    free = FreeSpace([(100, 200), (HOLE - 1, 3 * HOLE + 1), (19 * HOLE, 20 * HOLE)])
    source = DiscardingSource(Memory(data), free)
    extents = source.extents(dig_holes=False)
    assert extents == (
        Extent(offset=0, size=HOLE),
        Extent(offset=3 * HOLE, size=16 * HOLE),
    )
    expected = free.blank(0, data)
    wanted = b"".join(expected[extent.offset : extent.end] for extent in extents)
    assert b"".join(source.read(extents)) == wanted
    assert source.read_at(50, 100) == expected[50:150]


def test_more_runs_than_an_image_may_have_holes() -> None:
    count = MAX_EXTENT_COUNT + 10
    runs = ((2 * index * HOLE, (2 * index + 1) * HOLE) for index in range(count))
    source = DiscardingSource(Ones(2 * HOLE * count), FreeSpace(runs))
    extents = source.extents(dig_holes=False)
    assert len(extents) <= MAX_EXTENT_COUNT
    assert sum(chunk.count(1) for chunk in source.read(extents)) == count * HOLE


def test_the_image_must_stay_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(random_bytes(HOLE, 1))
    with ImageSource.open(path) as image:
        source: BundleSource = DiscardingSource(image, FreeSpace([(0, 10)]))
        assert (source.label, source.size) == (str(path), HOLE)
        stale = DiscardingSource(replace(image, modified_ns=0), FreeSpace([(0, 10)]))
        with pytest.raises(InputError, match="the image changed while it was read"):
            list(stale.read(stale.extents(dig_holes=False)))


def test_publish_knows_one_from_the_other(tmp_path: Path) -> None:
    spec = BundleSpec(name="x", account=ACCOUNT, architecture=Architecture.X86_64)
    whole = Memory(bytes(HOLE))
    sources: list[BundleSource] = [
        whole,
        DiscardingSource(whole, FreeSpace([(0, 10)])),
        DiscardingSource(whole, FreeSpace([(0, 11)])),
    ]
    key, ec2 = load_key(USER_KEY), load_certificate(EC2_CERT)
    assert len({describe_manifest(source, spec, ec2) for source in sources}) == 3
    for first in sources:
        for second in sources:
            with StateFile.open(tmp_path / "state", work="test") as file:
                state = PublishState(file, describe_source(first, spec, dig_holes=False))
                state.begin((), new_bundle_key(), key)
            with StateFile.open(tmp_path / "state", work="test") as file:
                state = PublishState(file, describe_source(second, spec, dig_holes=False))
                found = state.load(HOLE, key)
            if first is second:
                assert isinstance(found, EarlierRun)
            else:
                assert found == "--discard-free, or what is free, has changed since"
