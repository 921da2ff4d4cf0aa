"""Files written in the background: whole, or an error."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.host.file_writer import BUFFER_SIZE, MAX_WAITING, FileWriter
from tests.support.images import random_bytes
from tests.support.tools import require_tool

SIZES = [0, 1, 511, 4095, 4096, 4097, BUFFER_SIZE - 1, BUFFER_SIZE, BUFFER_SIZE + 1]


def write_all_sizes(directory: Path) -> None:
    contents = {f"{size}": random_bytes(size, seed=size) for size in SIZES}
    with FileWriter() as writer:
        for name, content in contents.items():
            writer.write(directory / name, content)
        writer.finish()
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == contents


def test_files_of_all_sizes(tmp_path: Path) -> None:
    write_all_sizes(tmp_path)


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory of 8 MiB; older kernels know no direct writes there."""
    directory = tmp_path / "memory"
    directory.mkdir()
    mount = [require_tool("mount"), "-t", "tmpfs", "-o", "size=8M", "tmpfs", str(directory)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603 - ours
        pytest.skip("file systems cannot be mounted here")
    yield directory
    subprocess.run([require_tool("umount"), str(directory)], check=True)  # noqa: S603 - ours


def test_a_disk_in_memory(memory_disk: Path) -> None:
    with FileWriter() as writer:
        writer.write(memory_disk / "file", b"x" * 5000)
        writer.finish()
    assert (memory_disk / "file").read_bytes() == b"x" * 5000


def fill(directory: Path) -> None:
    with FileWriter() as writer:
        for index in range(MAX_WAITING + 3):
            writer.write(directory / f"{index}", random_bytes(BUFFER_SIZE, seed=index))
        writer.finish()


def test_a_full_disk_is_told(memory_disk: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        fill(memory_disk)


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with FileWriter() as writer:
        writer.write(tmp_path / "file", b"new")
        with pytest.raises(FileExistsError):
            writer.finish()
    assert (tmp_path / "file").read_bytes() == b"old"


def test_no_more_than_a_few_files_wait(tmp_path: Path) -> None:
    with FileWriter() as writer:
        for index in range(20):
            writer.write(tmp_path / f"{index}", b"x" * index)
            written = [path for path in tmp_path.iterdir() if path.stat().st_size]
            assert len(written) >= index - MAX_WAITING - 1
        writer.finish()
