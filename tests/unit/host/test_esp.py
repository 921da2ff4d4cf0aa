"""EFI system partitions, filled and read back by mtools."""

import os
from pathlib import Path

import pytest

from bundler.errors import HostError, InputError
from bundler.host.esp import fill_vfat
from bundler.model.bundle import MIB
from tests.support.tools import require_tool, run_program, use_tool


@pytest.fixture
def esp(tmp_path: Path) -> Path:
    require_tool("mcopy")
    path = tmp_path / "esp.img"
    path.touch()
    os.truncate(path, 4 * MIB)
    use_tool("mkfs.vfat", path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


def test_files_are_there_with_names_content_and_empty_directories(esp: Path, tree: Path) -> None:
    files = {
        "EFI/BOOT/BOOTX64.EFI": b"MZ" * 3000,
        "-s": b"no option",
        "EFI/debian/a name, with [odd] +signs=.cfg": b"",
        "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{EURO SIGN} long name": b"x",
    }
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
        os.utime(tree / name, (1600000000, 1600000000))
    (tree / "empty").mkdir()
    fill_vfat(esp, tree)
    back = tree.parent / "back"
    back.mkdir()
    environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    done = run_program("mcopy", "-i", esp, "-s", "-m", "::/", back, environment=environment)
    assert done.code == 0, done.errors
    found = {
        str(path.relative_to(back)): path.read_bytes() for path in back.rglob("*") if path.is_file()
    }
    assert found == files
    assert (back / "empty").is_dir()
    assert (back / "-s").stat().st_mtime == 1600000000


@pytest.mark.parametrize("name", ["a:b", "a*", "a.", b"\xff".decode(errors="surrogateescape")])
def test_names_that_vfat_cannot_hold_are_refused(name: str, esp: Path, tree: Path) -> None:
    (tree / name).touch()
    with pytest.raises(InputError, match="is no name that vfat can hold"):
        fill_vfat(esp, tree)


def test_names_that_differ_in_case_alone_are_refused(esp: Path, tree: Path) -> None:
    (tree / "a").touch()
    (tree / "A").touch()
    with pytest.raises(InputError, match="vfat cannot tell it from another"):
        fill_vfat(esp, tree)


def test_a_link_does_not_bring_in_what_it_points_to(esp: Path, tree: Path) -> None:
    (tree / "secret").symlink_to("/etc/shadow")
    with pytest.raises(InputError, match="'secret': expected a file or directory, got a link"):
        fill_vfat(esp, tree)


def test_what_does_not_fit_is_found_first(esp: Path, tree: Path) -> None:
    (tree / "large").write_bytes(bytes(4 * MIB))
    with pytest.raises(HostError, match="no room: expected at most 4194304 bytes"):
        fill_vfat(esp, tree)
