"""Files: read to a bound, written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from bundler.errors import BundlerError, ExistsError, HostError, InputError, MissingError
from bundler.host.files import (
    atomic_file,
    check_absent,
    check_directory,
    check_room,
    host_error,
    os_errors,
    read_bounded,
    write_all,
    write_file,
)
from tests.support.tools import listing


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOENT, MissingError, "read x: No such file or directory"),
        (errno.ENOTDIR, MissingError, "read x: Not a directory"),
        (errno.EISDIR, InputError, "read x: expected a file, got a directory"),
        (errno.ENOSPC, HostError, "read x: no room: No space left on device"),
        (errno.EDQUOT, HostError, "read x: no room: Disk quota exceeded"),
        (errno.EFBIG, HostError, "read x: no room: File too large"),
        (errno.EACCES, HostError, "read x: Permission denied"),
        (errno.EIO, HostError, "read x: Input/output error"),
    ],
)
def test_errors_of_the_system_become_ours(
    number: int, error: type[BundlerError], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}$") as caught, os_errors("read", "x"):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)


def test_an_error_without_a_number() -> None:
    assert str(host_error("read", "x", OSError("odd"))) == "read x: odd"


@pytest.mark.parametrize(("size", "limit"), [(0, 0), (0, 10), (9, 10), (10, 10)])
def test_read_bounded_reads_all(tmp_path: Path, size: int, limit: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read_bounded(tmp_path / "file", limit) == b"x" * size


@pytest.mark.parametrize(("name", "error"), [("nothing", MissingError), (".", InputError)])
def test_read_bounded_of_no_file(tmp_path: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_bounded(tmp_path / name, 10)


def test_read_bounded_of_too_much(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="expected at most 10 bytes, got more"):
        read_bounded(tmp_path / "file", 10)
    with pytest.raises(InputError, match="expected at most 10 bytes, got more"):
        read_bounded(Path("/dev/zero"), 10)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_appears_whole(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    with atomic_file(path, mode=mode) as file:
        write_all(file, b"one")
        assert not path.exists()
        write_all(file, b"two")
    assert path.read_bytes() == b"onetwo"
    assert path.stat().st_mode & 0o777 == mode
    assert list(listing(tmp_path)) == ["file"]


def fail(path: Path, error: BaseException) -> None:
    with atomic_file(path, force=True) as file:
        write_all(file, b"new")
        raise error


def overtake(path: Path) -> None:
    """Write a file that somebody else writes meanwhile."""
    with atomic_file(path) as file:
        write_all(file, b"ours")
        path.write_bytes(b"theirs")


@pytest.mark.parametrize("error", [InputError("bad"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_file_that_fails_never_appears(
    tmp_path: Path, error: BaseException, old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    before = listing(tmp_path)
    with pytest.raises(type(error)):
        fail(path, error)
    assert listing(tmp_path) == before


def test_a_file_is_replaced_by_force_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ExistsError, match="the file exists; --force replaces it"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    write_file(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert list(listing(tmp_path)) == ["file"]


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ExistsError, match="the file exists"):
        overtake(path)
    assert path.read_bytes() == b"theirs"
    assert list(listing(tmp_path)) == ["file"]


def test_a_file_in_a_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="No such file"):
        write_file(tmp_path / "nothing" / "file", b"new")


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), b"new")
    assert [len(name) for name in listing(tmp_path)] == [255]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_file_is_never_replaced(
    tmp_path: Path,
    force: bool,
) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("nothing")
    os.mkfifo(tmp_path / "fifo")
    before = listing(tmp_path)
    for name in ("directory", "link", "fifo"):
        with pytest.raises(InputError, match="expected no file or a regular one"):
            check_absent(tmp_path / name, force=force)
    assert listing(tmp_path) == before
    check_absent(tmp_path / "nothing", force=force)


def test_check_directory(tmp_path: Path) -> None:
    check_directory(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a directory"):
        check_directory(tmp_path / "file")
    with pytest.raises(MissingError, match="no such directory; make it first"):
        check_directory(tmp_path / "nothing")


def test_check_room(tmp_path: Path) -> None:
    check_room(tmp_path, 0)
    check_room(tmp_path, 1)
    with pytest.raises(HostError, match=r"expected [0-9]+ bytes free for the worst case, got"):
        check_room(tmp_path, 2**62)
    with pytest.raises(MissingError, match="look for room in"):
        check_room(tmp_path / "nothing", 1)
