"""`image --discard-free` and doctor: what a deleted file leaves does not travel."""

import json
from pathlib import Path

import pytest

from tests.support.bundles import bundle, bundle_arguments, unbundle
from tests.support.file_systems import (
    FILES,
    MIB,
    SECRET,
    change_superblock,
    make_disk,
    make_ext,
    make_tree,
    make_xfs,
    require_root,
)
from tests.support.images import Layout, write_image
from tests.support.tools import check_refused, require_tool, run_cli, use_tool


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("mke2fs")
    directory = tmp_path_factory.mktemp("image")
    tree = make_tree(directory / "tree")
    return make_ext(directory / "root.img", tree, "-t", "ext4", "-b", "1024")


def round_trip(image: Path, directory: Path, *more: str) -> Path:
    output = directory / "image"
    manifest = bundle(image, directory / "bundle", *more)
    outcome = unbundle(manifest, output)
    assert outcome.code == 0, outcome.errors
    return output


def test_the_secret_travels_without_the_option_and_not_with_it(image: Path, tmp_path: Path) -> None:
    for name in ("plain", "left-out"):
        (tmp_path / name).mkdir()
    plain = round_trip(image, tmp_path / "plain").read_bytes()
    assert plain == image.read_bytes()
    assert SECRET[:1000] in plain
    output = round_trip(image, tmp_path / "left-out", "--discard-free", "--quiet")
    assert SECRET[:50] not in output.read_bytes()
    use_tool("e2fsck", "-f", "-n", output)
    for path, data in FILES.items():
        assert use_tool("debugfs", "-R", f"cat /{path}", output) == data


def test_xfs_in_a_partition_beside_swap(tmp_path: Path) -> None:
    require_root()
    tree = make_tree(tmp_path / "tree")
    swap = write_image(tmp_path / "swap", Layout(size=MIB, extents=()), b"")
    disk = make_disk(tmp_path / "disk", "gpt", make_xfs(tmp_path / "xfs", tree), swap)
    (tmp_path / "bundle").mkdir()
    outcome = run_cli(*bundle_arguments(disk, tmp_path / "bundle", "--discard-free"))
    assert outcome.code == 0
    assert "in free blocks of the file system at byte 1048576" in outcome.errors
    assert "no ext2, ext3, ext4 or xfs file system at byte 52428800" in outcome.errors
    unbundle(Path(outcome.text.strip()), tmp_path / "output")
    assert SECRET[:50] not in (tmp_path / "output").read_bytes()


def test_a_file_system_in_use_is_refused(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    copy.write_bytes(image.read_bytes())
    change_superblock(copy, 96, "<I", 0x2C2 | 0x4)
    (tmp_path / "bundle").mkdir()
    words = bundle_arguments(copy, tmp_path / "bundle", "--discard-free")
    check_refused(run_cli(*words), 3, "file system at byte 0: it was not unmounted")
    assert list((tmp_path / "bundle").iterdir()) == []


def test_doctor_warns(image: Path) -> None:
    words = bundle_arguments(image, Path())[1:]
    for more, status, said in (((), "warn", "bytes of data"), (("--discard-free",), "ok", "out")):
        outcome = run_cli("doctor", "bundle", *words, *more, "--json")
        found = [
            one for one in json.loads(outcome.text)["findings"] if one["check"] == "free-blocks"
        ]
        assert [one["status"] for one in found] == [status]
        assert said in found[0]["message"]
