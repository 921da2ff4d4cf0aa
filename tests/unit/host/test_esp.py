"""Files in a vfat partition, put there without mounting it."""

import os
from pathlib import Path

import pytest

from bundler.errors import HostError
from bundler.host.esp import fill_vfat
from tests.support.tools import require_tool, use_tool


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    require_tool("mcopy")
    path = tmp_path / "partition"
    path.touch()
    os.truncate(path, 16 * 1024 * 1024)
    use_tool("mkfs.fat", path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


def test_what_vfat_can_hold_is_copied(partition: Path, tree: Path, tmp_path: Path) -> None:
    contents = {"EFI/BOOT/BOOTX64.EFI": b"MZ" * 9999, "-n": b"1", "a b[1].txt": b"2", "é": b""}
    for name, data in contents.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    (tree / "-i").mkdir()
    os.utime(tree / "-n", (1_500_000_000, 1_500_000_000))
    (tree / "EFI/link").symlink_to("/etc/passwd")
    (tree / "loop").symlink_to(".")
    os.mkfifo(tree / "pipe")
    fill_vfat(partition, tree)
    use_tool("fsck.vfat", "-n", partition)
    back = tmp_path / "back"
    back.mkdir()
    use_tool("mcopy", "-s", "-m", "-i", partition, "::*", back)
    found = {path.relative_to(back).as_posix() for path in back.rglob("*")}
    assert {name.lower() for name in found} == {
        name.lower() for name in (*contents, "EFI", "EFI/BOOT", "-i")
    }
    assert (back / "EFI/BOOT/BOOTX64.EFI").read_bytes() == contents["EFI/BOOT/BOOTX64.EFI"]
    assert (back / "-n").stat().st_mtime == 1_500_000_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "partition", "tree"]


@pytest.mark.parametrize("name", [b"a*", b"c:d", b"\xff", b"line\nend", b"dot."])
def test_names_that_mtools_would_change_are_refused(
    name: bytes, partition: Path, tree: Path
) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/" + name)).touch()
    with pytest.raises(HostError, match="vfat cannot hold this name") as caught:
        fill_vfat(partition, tree)
    assert str(caught.value).isprintable()


def test_two_names_that_are_one_to_vfat_are_refused(partition: Path, tree: Path) -> None:
    for name in ("grub", "GRUB"):
        (tree / name).touch()
    with pytest.raises(HostError, match="no upper from lower case"):
        fill_vfat(partition, tree)


def test_too_much_is_refused_before_anything_is_written(partition: Path, tree: Path) -> None:
    with (tree / "big").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    before = partition.read_bytes()
    with pytest.raises(HostError, match="no room"):
        fill_vfat(partition, tree)
    assert partition.read_bytes() == before
