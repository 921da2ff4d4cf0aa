"""Parts on the local disk, opened to be sent."""

import tracemalloc
from pathlib import Path

import pytest

from bundler.errors import MissingError, VerificationError
from bundler.model.bundle import MIB, Part
from bundler.stages.tap import sha1_digest
from bundler.workflow.part_files import open_part


def write_part(directory: Path, data: bytes) -> Part:
    part = Part(index=0, filename="image.part.0", digest=sha1_digest(data))
    (directory / part.filename).write_bytes(data)
    return part


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB])
def test_a_part_is_what_is_on_the_disk(tmp_path: Path, size: int) -> None:
    data = b"part" * (size // 4) + b"x" * (size % 4)
    part = write_part(tmp_path, data)
    with open_part(tmp_path, part, limit=size) as body:
        assert body.read() == data


@pytest.mark.parametrize(
    "found", [b"", b"par", b"part!", b"Part"], ids=["emptied", "cut", "longer", "changed"]
)
def test_a_part_that_was_damaged_is_not_opened(tmp_path: Path, found: bytes) -> None:
    part = write_part(tmp_path, b"part")
    (tmp_path / part.filename).write_bytes(found)
    with pytest.raises(VerificationError, match=r"image\.part\.0: expected SHA1 [0-9a-f]{40}, got"):
        open_part(tmp_path, part, limit=100)


def test_a_part_over_the_limit_is_not_read(tmp_path: Path) -> None:
    part = write_part(tmp_path, b"part")
    with pytest.raises(VerificationError, match="expected at most 3 bytes, got 4"):
        open_part(tmp_path, part, limit=3)


def test_a_part_that_is_not_there_is_missing(tmp_path: Path) -> None:
    part = write_part(tmp_path, b"part")
    (tmp_path / part.filename).unlink()
    with pytest.raises(MissingError, match=r"read part .*image\.part\.0"):
        open_part(tmp_path, part, limit=4)


def test_a_part_is_in_memory_once(tmp_path: Path) -> None:
    size = 8 * MIB
    part = write_part(tmp_path, bytes(size))
    tracemalloc.start()
    try:
        with open_part(tmp_path, part, limit=size):
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size + MIB
