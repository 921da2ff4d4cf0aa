"""A bare file system of a directory, made without root."""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from bundler.errors import HostError
from bundler.host.root_tree import build_ext_image
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType
from tests.support.tools import require_tool, use_tool

WANTED = FileSystem(type=FileSystemType.EXT4, label="-root", block_size=4096, inode_size=256)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_tool("mke2fs")
    path = tmp_path / "tree"
    (path / "etc").mkdir(parents=True)
    (path / "etc/hostname").write_text("here\n")
    (path / "link").symlink_to("etc/hostname")
    return path


def digest(tree: Path) -> str:
    with tempfile.TemporaryFile(dir=tree.parent) as file:
        build_ext_image(file, tree, WANTED, 16 * MIB)
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_a_tree_becomes_a_sound_file_system(tree: Path, tmp_path: Path) -> None:
    with (tmp_path / "image").open("w+b") as file:
        made = build_ext_image(file, tree, WANTED, 16 * MIB)
        assert os.fstat(file.fileno()).st_size == 16 * MIB
    assert (made.type, made.label, made.block_size) == (FileSystemType.EXT4, "-root", 4096)
    use_tool("e2fsck", "-fn", tmp_path / "image")
    shown = use_tool("debugfs", "-R", "cat /etc/hostname", tmp_path / "image")
    assert shown == b"here\n"


def test_with_a_given_time_the_same_tree_gives_the_same_bytes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digest(tree) != digest(tree)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    same = digest(tree)
    assert digest(tree) == same
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000001")
    assert digest(tree) != same


def test_no_room_is_said(tree: Path, tmp_path: Path) -> None:
    (tree / "big").write_bytes(os.urandom(4 * MIB))
    with (tmp_path / "image").open("w+b") as file, pytest.raises(HostError, match="run mke2fs"):
        build_ext_image(file, tree, WANTED, 2 * MIB)
