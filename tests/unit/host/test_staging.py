"""Directories for copies, and what becomes of those that nobody needs any more."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bundler.host.staging import PREFIX, staging_directory


def test_whatever_is_in_it_is_removed(tmp_path: Path) -> None:
    with staging_directory(tmp_path) as inner:
        assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o700]
        (inner / "closed/more").mkdir(parents=True)
        (inner / "closed/more/file").touch()
        (inner / "closed/out").symlink_to(tmp_path)
        (inner / "closed/more").chmod(0)
        (inner / "closed").chmod(0o500)
        inner.chmod(0o500)
    assert list(tmp_path.iterdir()) == []


def test_those_of_nobody_are_removed_and_others_are_not(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}0" / "root").mkdir(parents=True)
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path)
    (tmp_path / "other").mkdir()
    with staging_directory(tmp_path) as first, staging_directory(tmp_path) as second:
        assert first.is_dir()
        assert second.is_dir()
        assert not (tmp_path / f"{PREFIX}0").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PREFIX}link", "other"]


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    """One may be found by another before it is locked."""

    def use(_: int) -> bool:
        with staging_directory(tmp_path) as inner:
            return inner.is_dir()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(400)))
    assert list(tmp_path.iterdir()) == []
