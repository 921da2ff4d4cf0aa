"""Trees to ext file systems without mounting."""

import hashlib
import os
from pathlib import Path

import pytest

from bundler.errors import HostError, UsageError
from bundler.host.files import scratch_file
from bundler.host.root_tree import EPOCH_VARIABLE, build_ext_image, source_date_epoch
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType
from tests.support.tools import require_tool, use_tool

WANTED = FileSystem(type=FileSystemType.EXT4, label="root", block_size=4096, inode_count=5000)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    require_tool("mke2fs")
    top = tmp_path / "-tree"
    (top / "etc").mkdir(parents=True)
    (top / "etc/hostname").write_text("host\n")
    os.link(top / "etc/hostname", top / "linked")
    (top / "hole").touch()
    os.truncate(top / "hole", MIB)
    (top / "link").symlink_to("/nowhere")
    return top


def digest(tree: Path, directory: Path, epoch: int | None, name: str = "n") -> str:
    with scratch_file(directory) as file:
        build_ext_image(file, tree, WANTED, 64 * MIB, name=name, epoch=epoch)
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}"
        use_tool("e2fsck", "-fn", path)
        assert b"host\n" in use_tool("debugfs", "-R", "cat /etc/hostname", path)
        file.seek(0)
        return hashlib.sha256(file.read()).hexdigest()


def test_same_tree_and_epoch_are_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    digest(tree, tmp_path, 1700000000)  # the first look changes times of access
    first = digest(tree, tmp_path, 1700000000)
    assert digest(tree, tmp_path, 1700000000) == first
    assert digest(tree, tmp_path, 1700000001) != first
    assert digest(tree, tmp_path, 1700000000, name="other") != first
    assert digest(tree, tmp_path, None) != digest(tree, tmp_path, None)


def test_a_tree_that_does_not_fit_is_an_error(tree: Path, tmp_path: Path) -> None:
    (tree / "large").write_bytes(os.urandom(8 * MIB))
    small = FileSystem(type=FileSystemType.EXT4, features=("extent", "filetype"))
    with scratch_file(tmp_path) as file, pytest.raises(HostError, match="run mke2fs"):
        build_ext_image(file, tree, small, 4 * MIB)


@pytest.mark.parametrize("text", ["-1", "x", "9" * 11, "4294967296"])
def test_odd_epochs_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EPOCH_VARIABLE, text)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH: expected seconds"):
        source_date_epoch()
    monkeypatch.setenv(EPOCH_VARIABLE, "0")
    assert source_date_epoch() == 0
    monkeypatch.delenv(EPOCH_VARIABLE)
    assert source_date_epoch() is None
