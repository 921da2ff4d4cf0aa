"""Fields of inodes, set in file systems that mke2fs makes; debugfs and e2fsck say what they are."""

import os
import re
from pathlib import Path

import pytest

from bundler.codec.ext_inodes import crc32c, root_inode, timed_inodes
from bundler.errors import InputError
from tests.support.tools import require_tool, run_program, use_tool

EPOCHS = (0, 1_600_000_000, 2**31 + 5, 2**32 - 1)
XATTR_INODES = "metadata_csum_seed,ea_inode"
OLD, NEW = 1_500_000_000, 2**31 - 1


def make(tmp_path: Path, *options: str) -> Path:
    require_tool("mke2fs")
    tree, image = tmp_path / "tree", tmp_path / "image"
    tree.mkdir()
    for name in ("old", "new"):
        (tree / name).write_text(name)
    size = 2500 if XATTR_INODES in options else 50
    os.setxattr(tree / "new", "user.long", bytes(size))
    os.utime(tree / "old", (OLD, OLD))
    os.utime(tree / "new", (NEW, NEW))
    use_tool("mke2fs", "-q", *options, "-d", tree, image, "20M")
    return image


def put(image: Path, pieces: list[tuple[int, bytes]]) -> None:
    with image.open("r+b") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)


def read_of(image: Path, offset: int, size: int) -> bytes:
    with image.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def times(image: Path, name: str) -> dict[str, str]:
    """As debugfs shows the fields: seconds, and nanoseconds with the bits of overflow."""
    text = use_tool("debugfs", "-R", f"stat {name}", image).decode()
    return dict(re.findall(r"^ ?([acm]time): 0x([0-9a-f:]+)", text, re.MULTILINE))


def field(seconds: int, nanoseconds: int = 0) -> str:
    extra = nanoseconds << 2 | (seconds + 2**31) >> 32
    return f"{seconds & 0xFFFFFFFF:08x}:{extra:08x}"


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ext4"),
        ("-t", "ext4", "-O", XATTR_INODES, "-b", "1024"),
        ("-t", "ext4", "-O", "^metadata_csum,^64bit", "-I", "512", "-g", "1024", "-b", "1024"),
        ("-t", "ext2", "-I", "128", "-b", "2048"),
    ],
    ids=["ext4", "seed", "old ext4", "ext2"],
)
def test_times_are_the_epoch_and_the_file_system_is_sound(
    tmp_path: Path, options: tuple[str, ...], epoch: int
) -> None:
    image = make(tmp_path, *options)
    before = run_program("e2fsck", "-fn", image)
    if XATTR_INODES not in options:  # of which mke2fs 1.47 makes what e2fsck complains of
        assert before.code == 0
    put(image, list(timed_inodes(lambda offset, size: read_of(image, offset, size), epoch)))
    after = run_program("e2fsck", "-fn", image)
    assert (after.code, after.output) == (before.code, before.output)
    cut = slice(8) if "ext2" in options else slice(None)
    for name, mtime in (("old", min(OLD, epoch)), ("new", min(NEW, epoch)), ("/", None)):
        found = times(image, name)
        assert [found[key][cut] for key in ("atime", "ctime")] == [field(epoch)[cut]] * 2
        if mtime is not None and "ext2" not in options:
            assert found["mtime"] == field(mtime)
    assert use_tool("debugfs", "-R", "cat old", image) == b"old"


def test_the_root_directory(tmp_path: Path) -> None:
    image = make(tmp_path, "-t", "ext4")
    piece = root_inode(
        lambda offset, size: read_of(image, offset, size),
        permissions=0o1751,
        owner=(70_000, 4),
        time_ns=-1_000_000_000 * 5 + 7,
    )
    put(image, [piece])
    use_tool("e2fsck", "-fn", image)
    text = use_tool("debugfs", "-R", "stat /", image).decode()
    assert re.search(r"Type: directory +Mode: +01751 ", text)
    assert re.search(r"User: 70000 +Group: +4 ", text)
    assert times(image, "/")["mtime"] == field(-5, 7)


def test_crc32c_is_the_one_of_the_rfc() -> None:
    """RFC 3720, B.4, inverts the result; ext does not."""
    assert crc32c(~0, bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA
    assert crc32c(crc32c(~0, bytes(range(9))), bytes(range(9, 32))) ^ 0xFFFFFFFF == 0x46DD794E


def test_what_is_no_ext_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an ext file system, got none"):
        list(timed_inodes(lambda _, size: bytes(size), 0))
    image = make(tmp_path, "-t", "ext4", "-O", "meta_bg,^resize_inode")
    with pytest.raises(InputError, match="meta_bg"):
        list(timed_inodes(lambda offset, size: read_of(image, offset, size), 0))
