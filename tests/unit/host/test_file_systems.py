"""File systems that are made as others were, by the programs that make them."""

import os
import re
from pathlib import Path

import pytest

from bundler.errors import HostError
from bundler.host.file_systems import make_file_system, mount_options, read_file_system
from bundler.host.image_file import ImageSource
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType
from tests.support.tools import require_tool, use_tool

UUID = "12345678-1234-4234-8234-123456789abc"
SOURCES = {
    "ext3 of an old system": ("mke2fs", "-q", "-F", "-t", "ext3", "-I", "128", "-b", "1024"),
    "ext4 without a journal": ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^64bit"),
    "ext2": ("mke2fs", "-q", "-F", "-t", "ext2", "-O", "^resize_inode"),
    "ext4 with much": ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data,project,ea_inode"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "xfs of an older system": ("mkfs.xfs", "-q", "-f", "-m", "bigtime=0,inobtcount=0,reflink=0"),
    "xfs of an old system": ("mkfs.xfs", "-q", "-f", "-m", "crc=0", "-n", "ftype=0"),
}


def empty(path: Path, size: int = 320 * MIB) -> Path:
    path.touch()
    os.truncate(path, size)
    return path


@pytest.mark.parametrize("name", list(SOURCES))
def test_what_is_made_is_like_what_was_read(name: str, tmp_path: Path) -> None:
    source = empty(tmp_path / "source")
    use_tool(*SOURCES[name], "-L", "-root x", source)
    found = read_file_system(source)
    assert found is not None
    assert found.label == "-root x"
    made, _ = make_file_system(empty(tmp_path / "copy"), found)
    again = read_file_system(tmp_path / "copy")
    assert again is not None
    assert set(again.features) == set(found.features)
    assert again == made == found
    if found.type.is_ext:
        use_tool("e2fsck", "-fn", tmp_path / "copy")
    with ImageSource.open(tmp_path / "copy") as image:  # it is still sparse
        assert sum(extent.size for extent in image.extents(dig_holes=False)) < 24 * MIB


def test_what_mke2fs_cannot_make_is_told(tmp_path: Path) -> None:
    wanted = FileSystem(
        type=FileSystemType.EXT4,
        uuid=UUID,
        features=("has_journal", "extent", "filetype", "FEATURE_C99", "quota", "needs_recovery"),
    )
    made, notes = make_file_system(empty(tmp_path / "copy"), wanted)
    assert made.features == ("has_journal", "extent", "filetype")
    assert [note.split("feature ")[1] for note in notes] == [
        "FEATURE_C99 cannot be kept",
        "quota cannot be kept",
    ]
    again = read_file_system(tmp_path / "copy")
    assert again is not None
    assert (again.uuid, set(again.features)) == (UUID, set(made.features))


@pytest.mark.parametrize("label", ["BOOT", "-EFI"])
def test_vfat_keeps_label_and_serial_number(label: str, tmp_path: Path) -> None:
    wanted = FileSystem(type=FileSystemType.VFAT, uuid="1A2B-3C4D", label=label)
    for size in (64 * MIB, 4 * MIB):
        made, notes = make_file_system(empty(tmp_path / str(size), size), wanted)
        assert read_file_system(tmp_path / str(size)) == made == wanted
        assert notes == ()


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("xfs", "thirteen long"),
        ("vfat", "a+b"),
        ("vfat", "\N{LATIN SMALL LETTER AE}"),
        ("ext4", "a\nb"),
    ],
)
def test_labels_that_cannot_be_are_dropped_and_told(kind: str, label: str, tmp_path: Path) -> None:
    wanted = FileSystem(type=FileSystemType(kind), label=label)
    made, notes = make_file_system(empty(tmp_path / "copy"), wanted)
    assert made.label == ""
    assert made.uuid
    assert repr(label) in notes[0]


def test_labels_with_control_characters_are_not_read(tmp_path: Path) -> None:
    source = empty(tmp_path / "source")
    use_tool("mke2fs", "-q", "-F", "-t", "ext4", "-L", "x\nBlock size: 7", source)
    found = read_file_system(source)
    assert found is not None
    assert (found.label, found.block_size) == (
        "",
        int(
            re.findall(
                r"^Block size: +(\d+)$", use_tool("dumpe2fs", "-h", source).decode(), re.MULTILINE
            )[-1]
        ),
    )


def test_btrfs_keeps_its_uuid_where_it_is_the_only_one(tmp_path: Path) -> None:
    require_tool("mkfs.btrfs")
    wanted = FileSystem(type=FileSystemType.BTRFS, uuid=UUID, label="-data")
    made, notes = make_file_system(empty(tmp_path / "copy"), wanted)
    assert notes == ()
    assert read_file_system(tmp_path / "copy") == made == wanted


def test_bytes_that_are_no_file_system_are_none(tmp_path: Path) -> None:
    assert read_file_system(empty(tmp_path / "zeros", MIB)) is None


def test_one_that_is_too_small_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"run mkfs\.xfs: expected exit status 0") as caught:
        make_file_system(empty(tmp_path / "copy", MIB), FileSystem(type=FileSystemType.XFS))
    assert "\n" not in str(caught.value)


def test_xfs_is_mounted_beside_its_twin() -> None:
    assert mount_options(FileSystem(type=FileSystemType.XFS)) == ("nouuid",)
    assert mount_options(FileSystem(type=FileSystemType.EXT4)) == ()
