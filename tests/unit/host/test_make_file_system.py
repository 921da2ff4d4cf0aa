"""File systems made anew: what is read of the new one is what was read of the old one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.errors import MissingError
from bundler.host.file_systems import mount_options, read_file_system
from bundler.host.loop_device import attach
from bundler.host.make_file_system import make_file_system
from bundler.model.bundle import MIB
from bundler.model.file_system import FileSystem, FileSystemType
from tests.support.privileged import require_root
from tests.support.tools import require_tool, use_tool

UUID = "12345678-9abc-def0-1234-56789abcdef0"
OLD = "ext_attr,resize_inode,dir_index,filetype,sparse_super,large_file"
CENTOS_6 = f"has_journal,{OLD},extent,flex_bg,huge_file,uninit_bg,dir_nlink,extra_isize"
DEBIAN_12 = f"has_journal,{OLD},extent,64bit,flex_bg,huge_file,dir_nlink,extra_isize,metadata_csum"
UBUNTU_24 = f"{DEBIAN_12},orphan_file,metadata_csum_seed"
XFS_7 = "crc,ftype,finobt"
XFS_9 = f"{XFS_7},sparse,reflink,inobtcount,bigtime"

EXT = FileSystem(
    type=FileSystemType.EXT4, uuid=UUID, label="-O name", block_size=4096, inode_size=256
)
XFS = FileSystem(type=FileSystemType.XFS, uuid=UUID, label="-f", block_size=4096, inode_size=512)


def features(words: str) -> tuple[str, ...]:
    return tuple(words.split(","))


CASES = {
    "ext2": replace(EXT, type=FileSystemType.EXT2, features=features(OLD), block_size=1024),
    "ext3": replace(
        EXT, type=FileSystemType.EXT3, features=features(f"has_journal,{OLD}"), inode_size=128
    ),
    "CentOS 6": replace(EXT, features=features(CENTOS_6)),
    "Debian 12": replace(EXT, features=features(DEBIAN_12)),
    "Ubuntu 24.04": replace(EXT, features=features(UBUNTU_24), label="cloudimg-rootfs"),
    "xfs of CentOS 7": replace(XFS, features=features(XFS_7)),
    "xfs of RHEL 9": replace(XFS, features=features(XFS_9)),
    "xfs version 4": replace(XFS, features=("ftype",), inode_size=256),
    "FAT16": FileSystem(
        type=FileSystemType.VFAT, uuid="1A2B-3C4D", label="-ESP", features=("fat16",)
    ),
    "FAT32": FileSystem(type=FileSystemType.VFAT, uuid="0000-0001", features=("fat32",)),
}


@contextmanager
def device(directory: Path, size: int = 320 * MIB) -> Iterator[Path]:
    require_root()
    for name in ("blkid", "mke2fs", "mkfs.xfs", "xfs_db", "mkfs.btrfs", "mkfs.fat"):
        require_tool(name)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(size + MIB)
        with attach(file.fileno(), offset=MIB, size=size) as path:
            yield path


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_is_what_was_wanted(name: str, tmp_path: Path) -> None:
    wanted = CASES[name]
    with device(tmp_path) as path:
        made, notes = make_file_system(path, wanted)
        assert made == read_file_system(path)
        assert notes == ()
        assert replace(made, features=()) == replace(wanted, features=())
        assert set(made.features) == set(wanted.features)


def test_a_btrfs_gets_a_uuid_of_its_own_and_a_note(tmp_path: Path) -> None:
    wanted = FileSystem(type=FileSystemType.BTRFS, uuid=UUID, label="-d raid")
    with device(tmp_path) as path:
        made, (note,) = make_file_system(path, wanted)
    assert made.label == wanted.label
    assert made.uuid not in ("", UUID)
    assert UUID in note
    assert made.uuid in note


@pytest.mark.parametrize("feature", ["needs_recovery", "quota", "unheard_of", "FEATURE_I31", "a^b"])
def test_features_that_an_image_cannot_have_are_left_out(feature: str, tmp_path: Path) -> None:
    wanted = replace(EXT, features=(*features(DEBIAN_12), feature))
    with device(tmp_path, 64 * MIB) as path:
        made, (note,) = make_file_system(path, wanted)
    assert feature in note
    assert set(made.features) == set(features(DEBIAN_12))


@pytest.mark.parametrize("label", ["new\nline", "\udcff", "seventeen letters"])
def test_labels_that_nobody_can_write_are_left_out(label: str, tmp_path: Path) -> None:
    with device(tmp_path, 64 * MIB) as path:
        made, (note,) = make_file_system(path, replace(EXT, label=label))
    assert made.label == ""
    assert note.isprintable()


def test_a_label_is_read_byte_by_byte(tmp_path: Path) -> None:
    label = "-\n\\x41^Jé"
    with device(tmp_path, 64 * MIB) as path:
        use_tool("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, path)
        found = read_file_system(path)
    assert found is not None
    assert found.label == label


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    with device(tmp_path, MIB) as path:
        assert read_file_system(path) is None
    with pytest.raises(MissingError, match="look for a file system on .*: No such file"):
        read_file_system(tmp_path / "none")


def test_only_a_twin_xfs_needs_an_option_to_be_mounted() -> None:
    assert [mount_options(one) for one in (XFS, EXT)] == [("nouuid",), ()]
