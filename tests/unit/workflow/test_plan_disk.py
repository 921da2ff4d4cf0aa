"""Layouts of images of volumes."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.codec.disk_layout import render_table
from bundler.errors import InputError, UsageError
from bundler.model.bundle import MAX_IMAGE_SIZE, MIB
from bundler.model.disk import Disk, Firmware, PartitionRole, Usage
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import SourceMount, Volume
from bundler.workflow.plan_disk import needed_size, plan_disk
from tests.support.tools import use_tool

BIOS, UEFI = frozenset((Firmware.BIOS,)), frozenset((Firmware.UEFI,))
BOTH = BIOS | UEFI
GPT, MBR = PartitionScheme.GPT, PartitionScheme.MBR
DISK_ID = "11111111-2222-4333-8444-555555555555"
ROOT_ID = "99999999-2222-4333-8444-555555555555"


def mount(path: str, kind: FileSystemType, **more: str) -> SourceMount:
    return SourceMount(
        path=path,
        mount_point=path,
        device="/dev/x",
        file_system=FileSystem(type=kind),
        type=kind.value,
        **more,
    )


def volume(*more: SourceMount, scheme: PartitionScheme | None = GPT) -> Volume:
    root = mount("/", FileSystemType.EXT4, partition_uuid=ROOT_ID)
    disk_id = {GPT: DISK_ID, MBR: "1a2b3c4d", None: ""}[scheme]
    return Volume(
        path="/",
        is_mount_point=True,
        mounts=(root, *more),
        left_out=(),
        scheme=scheme,
        disk_id=disk_id,
    )


def counter() -> Callable[[], uuid.UUID]:
    numbers = iter(range(1, 100))
    return lambda: uuid.UUID(int=next(numbers) << 96, version=4)


def plan(
    of: Volume,
    usage: dict[str, Usage] | None = None,
    *,
    scheme: PartitionScheme | None = GPT,
    firmware: frozenset[Firmware] = BIOS,
    size: int | None = None,
    allow_large: bool = False,
) -> Disk:
    return plan_disk(
        of,
        usage or {"/": Usage(size=100 * MIB, inode_count=5000)},
        scheme=scheme,
        firmware=firmware,
        size=size,
        allow_large=allow_large,
        new_id=counter(),
    )


def points(disk: Disk) -> list[tuple[int, str, str]]:
    return [(one.number, one.role.value, one.mount_point) for one in disk.partitions]


def test_gpt_has_the_root_last_and_its_ids_are_kept() -> None:
    boot, esp = mount("/boot", FileSystemType.XFS), mount("/boot/efi", FileSystemType.VFAT)
    home = mount("/home", FileSystemType.XFS)
    usage = {point: Usage(size=50 * MIB, inode_count=9) for point in ("/", "/boot", "/boot/efi")}
    disk = plan(volume(boot, esp, home), usage | {"/home": Usage(size=600 * MIB)}, firmware=BOTH)
    assert points(disk) == [
        (14, "bios-boot", ""),
        (15, "esp", "/boot/efi"),
        (16, "boot", "/boot"),
        (1, "root", "/"),
    ]
    assert disk.id == DISK_ID
    assert disk.root.uuid == ROOT_ID
    assert disk.root.size > 650 * MIB
    assert [one.role for one in disk.partitions if one.is_bootable] == [PartitionRole.BOOT]
    assert all(one.file_system.uuid for one in disk.partitions if one.file_system)
    ends = [MIB, *(one.end for one in disk.partitions)]
    assert [one.offset for one in disk.partitions] == ends[:-1]
    assert ends[-1] == disk.size - MIB


def test_mbr_numbers_partitions_in_their_order() -> None:
    disk = plan(volume(mount("/boot", FileSystemType.EXT4)), scheme=MBR, firmware=UEFI)
    assert points(disk) == [(1, "esp", "/boot/efi"), (2, "boot", "/boot"), (3, "root", "/")]
    assert [one.uuid[8:] for one in disk.partitions] == ["-01", "-02", "-03"]
    assert disk.id != "1a2b3c4d"  # that of another kind of table
    same = plan(volume(scheme=MBR), scheme=MBR)
    assert (same.id, same.root.uuid) == ("1a2b3c4d", "1a2b3c4d-01")


def test_a_bare_file_system_takes_everything() -> None:
    usage = {"/": Usage(size=MIB), "/boot": Usage(size=700 * MIB), "/boot/efi": Usage(size=MIB)}
    boot = mount("/boot", FileSystemType.EXT4)
    disk = plan(volume(boot), usage, scheme=None, firmware=BOTH)
    assert points(disk) == [(0, "root", "/")]
    assert disk.root.size == disk.size > 702 * MIB
    assert render_table(disk) == ()


def test_many_small_files_get_their_inodes() -> None:
    usage = {"/": Usage(size=400 * MIB, inode_count=100_000)}
    file_system = plan(volume(), usage).root.file_system
    assert file_system is not None
    assert file_system.inode_count > 120_000


def test_head_room_gives_way_to_the_limit() -> None:
    assert plan(volume(), {"/": Usage(size=9200 * MIB)}).size == MAX_IMAGE_SIZE
    with pytest.raises(InputError, match="at most 10240 MiB"):
        plan(volume(), {"/": Usage(size=11000 * MIB)})
    assert plan(volume(), {"/": Usage(size=11000 * MIB)}, allow_large=True).size > MAX_IMAGE_SIZE


def test_a_given_size_is_kept_or_refused_with_the_least_one() -> None:
    least = int(_refused(MIB).split("at least ")[1].split(" MiB")[0])
    assert plan(volume(), size=least * MIB).size == least * MIB
    assert f"got {least - 1}" in _refused((least - 1) * MIB)


def _refused(size: int) -> str:
    with pytest.raises(UsageError) as refusal:
        plan(volume(), size=size)
    return str(refusal.value)


@pytest.mark.parametrize(("kind", "least"), [("xfs", 300), ("btrfs", 256), ("vfat", 64)])
def test_file_systems_that_cannot_be_small(kind: str, least: int) -> None:
    assert needed_size(FileSystem(type=FileSystemType(kind)), Usage()) >= least * MIB


@pytest.mark.parametrize("scheme", [GPT, MBR])
@pytest.mark.parametrize("firmware", [BIOS, BOTH], ids=["bios", "both"])
def test_other_tools_find_no_fault(
    tmp_path: Path, scheme: PartitionScheme, firmware: frozenset[Firmware]
) -> None:
    disk = plan(volume(mount("/boot", FileSystemType.EXT4)), scheme=scheme, firmware=firmware)
    path = tmp_path / "disk"
    with path.open("xb") as file:
        file.truncate(disk.size)
        for offset, data in render_table(disk):
            file.seek(offset)
            file.write(data)
    assert b"No errors detected" in use_tool("sfdisk", "--verify", path)
    listed = use_tool("sfdisk", "--dump", path).decode()
    for one in disk.partitions:
        line = next(line for line in listed.splitlines() if line.startswith(f"{path}{one.number} "))
        assert f"start={one.offset // 512:>12}, size={one.size // 512:>12}," in line
        if scheme is GPT:
            assert f"uuid={one.uuid.upper()}" in line
            assert ("LegacyBIOSBootable" in line) is one.is_bootable
        else:
            assert ("bootable" in line) is one.is_bootable
    assert disk.id.upper() in listed.upper()


def test_too_many_partitions_for_a_table() -> None:
    disk = plan(volume(), scheme=MBR)
    fifth = replace(disk, partitions=(replace(disk.root, number=5),))
    with pytest.raises(InputError, match="at most four"):
        render_table(fifth)


def test_a_small_ext_file_system_has_the_blocks_that_are_counted() -> None:
    made = plan(volume(), scheme=None, size=200 * MIB).root.file_system
    assert made is not None
    assert (made.block_size, made.inode_size) == (4096, 256)
