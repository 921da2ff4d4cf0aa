"""Lines of an fstab for instance store volumes, and an fstab without them."""

import os
from pathlib import Path

import pytest

from bundler.codec.ext import StoredFile
from bundler.errors import InputError
from bundler.model.snapshot import BLOCK_SIZE
from bundler.workflow.fstab import Fstab, find_fstab, plan_removal, without_ephemeral_lines
from bundler.workflow.snapshot_bytes import MAX_BLOCK_COUNT, SnapshotBytes
from tests.support.tools import use_tool


def fstab_of(
    data: bytes, *, pieces: tuple[tuple[int, int], ...] = (), in_use: bool = False
) -> Fstab:
    file = StoredFile(data=data, pieces=pieces or ((4096, len(data)),))
    return Fstab(file=file, start=512, is_in_use=in_use)


@pytest.mark.parametrize(
    ("line", "is_ephemeral"),
    [
        ("/dev/sdb\t/mnt auto defaults,nofail 0 2", True),
        ("/dev/xvdc /data ext4 defaults", True),
        ("LABEL=ephemeral0 /mnt ext4", True),
        ("  /dev/sde3   swap swap", True),
        ("/dev/sda1 / ext4 defaults 0 1", False),
        ("/dev/sdf /data ext4", False),
        ("LABEL=/ / ext4 defaults", False),
        ("# /dev/sdb /mnt auto", False),
        ("#/dev/sdb /mnt auto", False),
        ("#LABEL=ephemeral0 /mnt ext4", False),
        ("#ephemeral volumes are below", False),
        ("", False),
    ],
)
def test_lines(line: str, is_ephemeral: bool) -> None:
    before, after = b"# fstab\n", b"proc /proc proc\n"
    data = before + line.encode() + b"\n" + after
    expected = (" ".join(line.split()),) if is_ephemeral else ()
    assert fstab_of(data).ephemeral_lines == expected
    left = without_ephemeral_lines(data)
    assert len(left) == len(data)
    assert left == ((before + after).ljust(len(data), b"\n") if is_ephemeral else data)


def test_only_pieces_that_change_are_written() -> None:
    data = b"A" * 7 + b"\n" + b"/dev/sdb" + b" /m a d\n"
    pieces = ((0, 8), (96, 8), (32, 8))
    changes = plan_removal(fstab_of(data, pieces=pieces))
    assert changes == ((512 + 96, b"\n" * 8), (512 + 32, b"\n" * 8))
    assert plan_removal(fstab_of(b"/dev/sda1 / ext4\n", in_use=True)) == ()


def test_what_may_not_be_changed() -> None:
    with pytest.raises(InputError, match=r"journal is not written back.*e2fsck"):
        plan_removal(fstab_of(b"/dev/sdb /mnt auto\n", in_use=True))
    with pytest.raises(InputError, match=r"found none that can be read.*expected an ext2"):
        plan_removal(None)


class CountingReader:
    """A snapshot of one byte, over and over."""

    def __init__(self, filler: int) -> None:
        self.filler = filler
        self.indexes: list[int] = []

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        self.indexes.append(index)
        return bytes([self.filler]) * BLOCK_SIZE if self.filler else None


@pytest.mark.parametrize("filler", [0, 0x53, 0xFF])
def test_what_is_no_file_system_costs_little(filler: int) -> None:
    reader = CountingReader(filler)
    assert find_fstab(SnapshotBytes(reader, "snap-1").read) is None
    assert len(reader.indexes) == len(set(reader.indexes)) <= MAX_BLOCK_COUNT


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
@pytest.mark.parametrize("lines", [1, 60, 3000])
def test_fstabs_of_file_systems(tmp_path: Path, kind: str, lines: int) -> None:
    """Of one block, of several, and of more than is looked at."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    text = b"/dev/sdb /mnt auto\n" + b"LABEL=/ / ext4 defaults 0 1\n" * lines
    (root / "etc/fstab").write_bytes(text)
    image = tmp_path / "fs.img"
    use_tool("mke2fs", "-q", "-t", kind, "-b", "1024", "-d", root, image, "8M")
    with image.open("r+b") as file:
        fstab = find_fstab(lambda offset, size: os.pread(file.fileno(), size, offset))
        if lines == 3000:
            assert fstab is None
            return
        assert fstab is not None
        assert fstab.file.data == text
        for offset, data in plan_removal(fstab):
            os.pwrite(file.fileno(), data, offset)
    use_tool("e2fsck", "-f", "-n", image)
    left = use_tool("debugfs", "-R", "cat /etc/fstab", image)
    assert left == text.partition(b"\n")[2].ljust(len(text), b"\n")


@pytest.mark.parametrize("damage", ["hole", "unwritten", "inline"])
def test_fstabs_that_are_not_all_blocks_of_their_own(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    fstab = root / "etc/fstab"
    with fstab.open("wb") as file:
        file.write(b"/dev/sdb /mnt auto\n")
        if damage != "inline":
            file.seek(3000)
            file.write(b"\n")
    image = tmp_path / "fs.img"
    features = ("-O", "inline_data") if damage == "inline" else ()
    use_tool("mke2fs", "-q", "-t", "ext4", "-b", "1024", *features, "-d", root, image, "8M")
    if damage == "unwritten":
        use_tool("debugfs", "-w", "-R", "fallocate /etc/fstab 0 2", image)
    with image.open("rb") as file:
        assert find_fstab(lambda offset, size: os.pread(file.fileno(), size, offset)) is None
