"""Copies with all that belongs to a file."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from bundler.errors import HostError
from bundler.host.rsync import copy_files, listed_paths
from tests.support.tools import require_tool, use_tool


@pytest.fixture(autouse=True)
def _with_rsync() -> None:
    require_tool("rsync")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    directory = tmp_path / "source"
    directory.mkdir(mode=0o711)
    return directory


def listed(directory: Path, *names: bytes) -> BinaryIO:
    """A list of files, open; "./" in front of each."""
    path = directory.parent / "list"
    path.write_bytes(b"".join(b"./" + name + b"\0" for name in names))
    return path.open("rb")


def names_in(directory: Path) -> list[bytes]:
    return sorted(os.fsencode(path.name) for path in directory.iterdir())


def copy(source: Path, *names: bytes) -> tuple[Path, list[int]]:
    advanced: list[int] = []
    target = source.parent / "target"
    with listed(source, *names) as paths:
        vanished = copy_files(source, target, paths, advanced.append)
    assert vanished.count == len(vanished.paths) == 0
    return target, advanced


def test_only_what_is_listed_is_copied_whatever_its_name_is(source: Path) -> None:
    names = [b"#comment", b";comment", b"-n", b"new\nline", b"\xff", b"with blank ", b"*", b"d/f"]
    (source / "d").mkdir()
    for name in [*names, b"not listed", b"d/not listed"]:
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(name)
    target, advanced = copy(source, *names[:-1], b"d", names[-1])
    assert names_in(target) == sorted([*names[:-1], b"d"])
    assert names_in(target / "d") == [b"f"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o711
    assert sum(advanced) >= sum(map(len, names))


def test_links_holes_times_and_attributes_are_kept(source: Path) -> None:
    first = source / "first"
    first.write_bytes(b"x")
    os.truncate(first, 5 << 20)
    os.link(first, source / "second")
    (source / "link").symlink_to("/nowhere")
    os.mkfifo(source / "fifo", 0o640)
    os.setxattr(first, "user.one", b"\0\xff")
    use_tool("setfacl", "-m", "u:12345:r", first)
    os.utime(first, ns=(1, 1_234_567_891_234_567_891))
    target, _ = copy(source, b"first", b"second", b"link", b"fifo")
    there = (target / "first").stat()
    assert (there.st_size, there.st_nlink, there.st_mtime_ns) == (
        5 << 20,
        2,
        1_234_567_891_234_567_891,
    )
    assert there.st_blocks * 512 <= 64 << 10
    assert (target / "second").samefile(target / "first")
    assert os.getxattr(target / "first", "user.one") == b"\0\xff"
    assert b"user:12345:r--" in use_tool("getfacl", "-n", "-p", target / "first")
    assert (target / "link").readlink() == Path("/nowhere")
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)


def test_vanished_files_are_told_and_are_no_failure(source: Path) -> None:
    (source / "there").write_bytes(b"x")
    target = source.parent / "target"
    with listed(source, b"there", b"gone", b"dir/gone\n") as paths:
        vanished = copy_files(source, target, paths, lambda size: None)
    assert vanished.count == 2
    assert vanished.paths == (b"./gone", b"./dir/gone\n")
    assert names_in(target) == [b"there"]


def test_a_partial_copy_is_a_failure(source: Path) -> None:
    (source / "file").write_bytes(b"x")
    (source / "directory").mkdir()
    target = source.parent / "target"
    (target / "directory").write_bytes(b"in the way")
    (target / "file").mkdir()
    (target / "file/below").write_bytes(b"")
    with (
        listed(source, b"file", b"directory") as paths,
        pytest.raises(
            HostError, match=r"^copy .*/source: rsync, exit status 23: could not make way"
        ),
    ):
        copy_files(source, target, paths, lambda size: None)


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_listed_paths(tmp_path: Path, size: int) -> None:
    names = [b"./" + bytes([97 + index]) * 700_000 for index in range(size)]
    path = tmp_path / "list"
    path.write_bytes(b"".join(name + b"\0" for name in names))
    with path.open("rb") as file:
        assert list(listed_paths(file)) == names
