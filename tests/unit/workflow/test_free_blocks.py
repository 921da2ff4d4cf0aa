"""--discard-free: what is deleted is gone, what is there stays; what is uncertain is refused."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.errors import InputError
from bundler.host.image_file import ImageSource, write_sparse
from bundler.model.bundle import Chunk
from bundler.workflow.discarding_source import DiscardingSource
from bundler.workflow.doctor import Finding, Status
from bundler.workflow.free_blocks import find_free_blocks
from bundler.workflow.free_checks import check_free_blocks
from tests.support.file_systems import (
    FILES,
    MIB,
    SECRET,
    change_superblock,
    make_disk,
    make_ext,
    make_tree,
    make_xfs,
    mounted,
)
from tests.support.images import random_bytes, stored_bytes
from tests.support.tools import require_tool, use_tool

NO_CHECKSUMS = "^metadata_csum"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("mke2fs")
    return make_tree(tmp_path_factory.mktemp("tree") / "files")


@pytest.fixture(scope="module")
def xfs(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """To be read only."""
    return make_xfs(tmp_path_factory.mktemp("xfs") / "image", tree)


def discarded(image: Path, output: Path, *, dig_holes: bool = False) -> Path:
    """The image as a bundle would have it."""
    with ImageSource.open(image) as source:
        free = find_free_blocks(source, is_checked=True)
        discarding = DiscardingSource(source, free.space)
        extents = discarding.extents(dig_holes=dig_holes)

        def runs() -> list[tuple[int, Chunk]]:
            data = b"".join(discarding.read(extents))
            found, position = list[tuple[int, Chunk]](), 0
            for extent in extents:
                found.append((extent.offset, data[position : position + extent.size]))
                position += extent.size
            return found

        with output.open("wb", buffering=0) as file:
            write_sparse(file, iter(runs()), source.size)
    return output


def check_ext_files(image: Path, offset: int = 0) -> None:
    name = f"{image}?offset={offset}" if offset else str(image)
    use_tool("e2fsck", "-f", "-n", name)
    for path, data in FILES.items():
        assert use_tool("debugfs", "-R", f"cat /{path}", name) == data


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ext4", "-b", "4096"),
        ("-t", "ext4", "-b", "1024"),
        ("-t", "ext4", "-b", "1024", "-g", "1024", "-O", "^flex_bg"),
        ("-t", "ext4", "-b", "2048", "-O", f"uninit_bg,{NO_CHECKSUMS}"),
        ("-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"),
        ("-t", "ext4", "-b", "1024", "-O", "^64bit,sparse_super2", "-E", "packed_meta_blocks=1"),
        ("-t", "ext3", "-b", "1024"),
        ("-t", "ext2", "-b", "4096"),
    ],
    ids=lambda options: " ".join(options),
)
def test_deleted_files_are_gone_and_others_stay(
    tmp_path: Path, tree: Path, options: tuple[str, ...]
) -> None:
    image = make_ext(tmp_path / "image", tree, *options)
    before = image.read_bytes()
    output = discarded(image, tmp_path / "output")
    assert SECRET[:50] not in output.read_bytes()
    assert stored_bytes(output) < stored_bytes(image)
    check_ext_files(output)
    assert image.read_bytes() == before
    dug = discarded(image, tmp_path / "dug", dig_holes=True)
    assert dug.read_bytes() == output.read_bytes()


@pytest.mark.parametrize("scheme", ["dos", "gpt"])
def test_file_systems_in_partitions(tmp_path: Path, tree: Path, scheme: str) -> None:
    first = make_ext(tmp_path / "1", tree, "-t", "ext4", "-b", "1024")
    second = make_ext(tmp_path / "2", tree, "-t", "ext2")
    other = tmp_path / "3"
    other.write_bytes(random_bytes(MIB, 3))
    # A name that libext2fs would take apart if it were given it.
    image = make_disk(tmp_path / "x?offset=5", scheme, first, other, second)
    output = discarded(image, tmp_path / "output")
    data = output.read_bytes()
    assert SECRET[:50] not in data
    assert data.count(b"between" * 1000) == 3
    assert other.read_bytes() in data
    check_ext_files(output, MIB)
    check_ext_files(output, 28 * MIB)
    with ImageSource.open(image) as source:
        free = find_free_blocks(source, is_checked=False)
    assert (free.offsets, free.unknown_offsets) == ((MIB, 28 * MIB), (26 * MIB,))


def test_xfs(tmp_path: Path, xfs: Path) -> None:
    output = discarded(xfs, tmp_path / "output")
    assert SECRET[:50] not in output.read_bytes()
    use_tool("xfs_repair", "-n", "-f", output)
    with mounted(output) as root:
        for path, data in FILES.items():
            assert (root / path).read_bytes() == data


def test_xfs_in_a_partition(tmp_path: Path, xfs: Path) -> None:
    image = make_disk(tmp_path / "image", "gpt", xfs)
    output = discarded(image, tmp_path / "output")
    data = output.read_bytes()
    assert SECRET[:50] not in data
    assert data[MIB:-MIB] == discarded(xfs, tmp_path / "bare").read_bytes()
    assert str(image) not in use_tool("losetup", "--list", "--output", "BACK-FILE").decode()


@pytest.mark.parametrize(
    "options",
    [("-b", "size=1024", "-d", "agcount=3"), ("-m", "rmapbt=1,reflink=1")],
    ids=lambda options: " ".join(options),
)
def test_kinds_of_xfs(tmp_path: Path, tree: Path, options: tuple[str, ...]) -> None:
    image = make_xfs(tmp_path / "image", tree, *options)
    output = discarded(image, tmp_path / "output")
    assert SECRET[:50] not in output.read_bytes()
    use_tool("xfs_repair", "-n", "-f", output)


def break_count(path: Path) -> None:
    change_superblock(path, 12, "<I", 5)


def flip_bitmap(path: Path) -> None:
    """A block that is used counts as free, and the sums are true."""
    used = use_tool("debugfs", "-R", "blocks /sub/other", path).split()[0].decode()
    free = re.search(r"Free blocks found: (\d+)", use_tool("debugfs", "-R", "ffb", path).decode())
    assert free
    use_tool("debugfs", "-w", "-R", f"freeb {used}", path)
    use_tool("debugfs", "-w", "-R", f"setb {free[1]}", path)


UNCLEAN: list[tuple[str, Callable[[Path], object], str]] = [
    ("in use", lambda path: change_superblock(path, 96, "<I", 0x4 | 0x2), "it was not unmounted"),
    ("not clean", lambda path: change_superblock(path, 58, "<H", 0), "clean, got not clean"),
    ("errors", lambda path: change_superblock(path, 58, "<H", 3), "got clean with errors"),
    ("wrong count", break_count, "what the superblock says of them differ"),
    ("wrong bitmap", flip_bitmap, "e2fsck finds it damaged"),
    ("no such feature", lambda path: change_superblock(path, 96, "<I", 1 << 31), "unsupported"),
    ("cut short", lambda path: os.truncate(path, 20 * MIB), "the image is cut short"),
]


@pytest.mark.parametrize(
    ("damage", "pattern"), [case[1:] for case in UNCLEAN], ids=[case[0] for case in UNCLEAN]
)
def test_what_is_not_certain_is_refused(
    tmp_path: Path, tree: Path, damage: Callable[[Path], object], pattern: str
) -> None:
    image = make_ext(tmp_path / "image", tree, "-t", "ext2", "-b", "1024")
    damage(image)
    with ImageSource.open(image) as source, pytest.raises(InputError, match=pattern):
        find_free_blocks(source, is_checked=True)


def test_a_file_system_that_was_there_before_the_partitions(tmp_path: Path, tree: Path) -> None:
    image = make_ext(tmp_path / "image", tree, "-t", "ext4")
    script = ("sfdisk", "-q", "--wipe", "never", image)
    use_tool(*script, data=b"label: dos\nstart=2048\n")
    with ImageSource.open(image) as source, pytest.raises(InputError, match="in front of the part"):
        find_free_blocks(source, is_checked=False)


def test_xfs_that_is_mounted_is_refused(tmp_path: Path, tree: Path) -> None:
    image = make_xfs(tmp_path / "image", tree)
    with mounted(image) as root:
        (root / "new").write_bytes(b"new")
        use_tool("sync", "-f", root)
        with ImageSource.open(image) as source, pytest.raises(InputError, match="not unmounted"):
            find_free_blocks(source, is_checked=True)


def test_damaged_xfs_is_refused(tmp_path: Path, xfs: Path) -> None:
    image = tmp_path / "image"
    use_tool("cp", "--sparse=always", xfs, image)
    use_tool("xfs_db", "-x", "-c", "agf 0", "-c", "write -d flcount 3", image)
    with ImageSource.open(image) as source, pytest.raises(InputError, match=r"damaged|differ"):
        find_free_blocks(source, is_checked=True)


def test_a_device_that_is_mounted_is_refused(tmp_path: Path, tree: Path) -> None:
    image = make_ext(tmp_path / "image", tree, "-t", "ext4")
    with mounted(image, "-o", "loop,ro"):
        words = ("losetup", "--noheadings", "--output", "NAME", "--associated", image)
        device = Path(use_tool(*words).decode().strip())
        with ImageSource.open(device) as source, pytest.raises(InputError, match="unmount it"):
            find_free_blocks(source, is_checked=True)


def examine(image: Path, *, is_discarded: bool = False) -> Finding:
    with ImageSource.open(image) as source:
        (finding,) = check_free_blocks(source, is_discarded=is_discarded)
    return finding


def test_doctor_counts_what_would_travel(tmp_path: Path, tree: Path) -> None:
    image = make_ext(tmp_path / "image", tree, "-t", "ext4", "-b", "1024")
    finding = examine(image)
    assert finding.status is Status.WARN
    assert f"{len(SECRET)} bytes of data in free blocks of the file system at byte 0" in (
        finding.message
    )
    assert "--discard-free" in finding.remedy
    assert examine(image, is_discarded=True).status is Status.OK
    output = discarded(image, tmp_path / "output")
    assert examine(output).status is Status.OK


def test_doctor_passes_over_what_cannot_be_told(tmp_path: Path, tree: Path) -> None:
    image = make_ext(tmp_path / "image", tree, "-t", "ext4")
    change_superblock(image, 58, "<H", 0)
    finding = examine(image)
    assert finding.status is Status.SKIP
    assert "not clean" in finding.message
    with pytest.raises(InputError, match="not clean"):
        examine(image, is_discarded=True)
    (tmp_path / "other").write_bytes(random_bytes(9999, 1))
    assert examine(tmp_path / "other").status is Status.SKIP
