"""A bundle on the disk: it appears whole, or not at all."""

from pathlib import Path

import pytest

from bundler.errors import ExistsError, InputError, MissingError
from bundler.host.bundle_directory import BundleDirectory
from bundler.host.file_writer import MAX_WAITING
from tests.support.bundles import sha1_digest
from tests.support.tools import listing

DOCUMENT = b"<manifest/>"


def put(sink: BundleDirectory, count: int) -> None:
    for index in range(count):
        part = b"part %d" % index
        sink.put_part(index, part, sha1_digest(part))


def fail(directory: Path, count: int, error: BaseException, *, force: bool = False) -> None:
    with BundleDirectory.create(directory, "image", force=force) as sink:
        put(sink, count)
        raise error


def lose(directory: Path, count: int, lost: str) -> None:
    """Lose a part that was written before the bundle gets its names."""
    with BundleDirectory.create(directory, "image", force=False) as sink:
        put(sink, count + MAX_WAITING)  # all but the last MAX_WAITING are written by now
        (directory / ".image.partial" / lost).unlink()
        sink.put_manifest(DOCUMENT)


def make(directory: Path, count: int, *, name: str = "image", force: bool = False) -> None:
    with BundleDirectory.create(directory, name, force=force) as sink:
        put(sink, count)
        sink.put_manifest(DOCUMENT)


@pytest.mark.parametrize("count", [1, 9, 10, 11, 100])
def test_a_bundle_appears_with_its_manifest(tmp_path: Path, count: int) -> None:
    with BundleDirectory.create(tmp_path, "image", force=False) as sink:
        put(sink, count)
        assert [path.name for path in tmp_path.iterdir()] == [".image.partial"]
        sink.put_manifest(DOCUMENT)
    digits = len(str(count))
    names = [f"image.part.{index:0{digits}d}" for index in range(count)]
    assert list(listing(tmp_path)) == ["image.manifest.xml", *names]
    assert (tmp_path / "image.manifest.xml").read_bytes() == DOCUMENT
    assert [(tmp_path / name).read_bytes() for name in names] == [
        b"part %d" % index for index in range(count)
    ]


@pytest.mark.parametrize("error", [InputError("bad"), KeyboardInterrupt()])
@pytest.mark.parametrize("count", [0, 1, 30])
def test_a_bundle_that_fails_leaves_nothing(
    tmp_path: Path, error: BaseException, count: int
) -> None:
    with pytest.raises(type(error)):
        fail(tmp_path, count, error)
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("lost", ["0", "3", "4"])
def test_a_bundle_that_fails_while_it_gets_its_names_leaves_nothing(
    tmp_path: Path, lost: str
) -> None:
    other = tmp_path / "other.part.0"
    other.touch()
    with pytest.raises(MissingError, match="write bundle to"):
        lose(tmp_path, 5, lost)
    assert list(listing(tmp_path)) == ["other.part.0"]


@pytest.mark.parametrize("old", [1, 5, 200])
def test_force_replaces_all_old_parts(tmp_path: Path, old: int) -> None:
    make(tmp_path, old)
    make(tmp_path, 3, name="image2")
    with pytest.raises(ExistsError, match="exists; --force replaces the bundle"):
        make(tmp_path, 2)
    assert len(listing(tmp_path)) == old + 1 + 4
    make(tmp_path, 2, force=True)
    assert list(listing(tmp_path)) == [
        "image.manifest.xml",
        "image.part.0",
        "image.part.1",
        "image2.manifest.xml",
        "image2.part.0",
        "image2.part.1",
        "image2.part.2",
    ]


def test_the_old_bundle_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    make(tmp_path, 2)
    before = listing(tmp_path)
    with pytest.raises(InputError, match="bad"):
        fail(tmp_path, 7, InputError("bad"), force=True)
    assert listing(tmp_path) == before


def test_what_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    work = tmp_path / ".image.partial"
    work.mkdir()
    for name in ("1", "7", "manifest", "image.part.0"):
        (work / name).write_bytes(b"left")
    make(tmp_path, 1)
    assert list(listing(tmp_path)) == ["image.manifest.xml", "image.part.0"]
    assert (tmp_path / "image.part.0").read_bytes() == b"part 0"


@pytest.mark.parametrize("moved", range(4))
@pytest.mark.parametrize("old", ["none", "some", "more"])
def test_a_move_that_was_interrupted_is_ended_by_the_next_run(
    tmp_path: Path, moved: int, old: str
) -> None:
    """Killed behind the commit record: `moved` of three parts are at their place."""
    work = tmp_path / ".image.partial"
    work.mkdir()
    if old == "more" and not moved:  # else the old bundle has gone before the first part moves
        make_files(tmp_path, "old", ["image.manifest.xml", "image.part.2", "image.part.10"])
    if old == "some":
        make_files(tmp_path, "old", [f"image.part.{index}" for index in range(moved, 3)])
    make_files(tmp_path, "new", [f"image.part.{index}" for index in range(moved)])
    make_files(work, "new", [f"image.part.{index}" for index in range(moved, 3)])
    make_files(work, "new", ["image.manifest.xml"])
    with pytest.raises(ExistsError, match="exists; --force replaces the bundle"):
        make(tmp_path, 1)
    names = ["image.manifest.xml", *(f"image.part.{index}" for index in range(3))]
    assert list(listing(tmp_path)) == names
    assert {(tmp_path / name).read_bytes() for name in names} == {b"new"}


def make_files(directory: Path, content: str, names: list[str]) -> None:
    for name in names:
        (directory / name).write_text(content)


def test_an_old_part_that_somebody_removes_meanwhile(tmp_path: Path) -> None:
    make(tmp_path, 12)
    with BundleDirectory.create(tmp_path, "image", force=True) as sink:
        put(sink, 3)
        (tmp_path / "image.part.05").unlink()
        sink.put_manifest(DOCUMENT)
    assert len(listing(tmp_path)) == 4


def make_behind_a_directory(directory: Path) -> None:
    with BundleDirectory.create(directory, "image", force=False) as sink:
        put(sink, 3)
        (directory / "image.part.1").mkdir()
        sink.put_manifest(DOCUMENT)


def test_a_bundle_that_cannot_move_waits_for_the_next_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in the way"):
        make_behind_a_directory(tmp_path)
    (tmp_path / "image.part.1").rmdir()
    with pytest.raises(ExistsError, match=r"image\.manifest\.xml exists"):
        make(tmp_path, 1)
    assert len(listing(tmp_path)) == 4


def test_two_at_once(tmp_path: Path) -> None:
    with BundleDirectory.create(tmp_path, "image", force=False) as sink:
        put(sink, 1)
        for force in (False, True):
            with pytest.raises(ExistsError, match="another process is making image in"):
                make(tmp_path, 1, force=force)
        make(tmp_path, 1, name="other")
        sink.put_manifest(DOCUMENT)
    assert len(listing(tmp_path)) == 4


def test_the_work_directory_is_private_and_not_followed(tmp_path: Path) -> None:
    with BundleDirectory.create(tmp_path, "image", force=False):
        assert (tmp_path / ".image.partial").stat().st_mode & 0o777 == 0o700
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    (tmp_path / ".image.partial").symlink_to(victim)
    with pytest.raises(InputError, match="is in the way"):
        make(tmp_path, 1)
    assert list(listing(victim)) == ["file"]


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a directory"):
        make(tmp_path / "file", 1)
    with pytest.raises(MissingError, match="no such directory; make it first"):
        make(tmp_path / "nothing", 1)
