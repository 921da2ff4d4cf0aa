"""What a volume is, on machines of many kinds; see tests/support/machines.py for their origin."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bundler.errors import HostError, InputError, MissingError
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import Volume
from bundler.workflow.read_volume import read_volume, volume_notes
from tests.support import machines
from tests.support.machines import RecordedMachine
from tests.support.tools import lacking, require_tool, run_program, use_tool

GPT, MBR = PartitionScheme.GPT, PartitionScheme.MBR


def read(machine: RecordedMachine, path: str = "/", *, all_mounts: bool = False) -> Volume:
    return read_volume(
        Path(path), read_file_system=lambda _: None, machine=machine, all_mounts=all_mounts
    )


def copied(volume: Volume) -> dict[str, str]:
    """Paths and devices."""
    return {one.path: one.device for one in volume.mounts}


def left_out(volume: Volume) -> dict[str, str]:
    """Reasons by path, of what is not in /proc and the like."""
    usual = {"/dev", "/proc", "/run", "/sys", "/tmp"}  # noqa: S108  paths in a volume
    return {one.path: one.reason for one in volume.left_out if one.path not in usual}


def test_amazon_linux_2023_on_nitro() -> None:
    volume = read(machines.AMAZON_LINUX_2023)
    assert copied(volume) == {"/": "/dev/nvme0n1p1", "/boot/efi": "/dev/nvme0n1p128"}
    assert (volume.scheme, volume.disk_id) == (GPT, "30af5f88-1111-4222-8333-444455556666")
    assert volume.root.partition_uuid == "b7a3fd4b-1111-4222-8333-444455556601"
    assert volume.root.file_system == FileSystem(
        type=FileSystemType.XFS, uuid="7c7ee118-3a5f-4a02-9a16-5d4f9ec7a1e3", label="/"
    )
    assert volume.mounts[1].file_system == FileSystem(type=FileSystemType.VFAT, uuid="0C0D-F00D")
    assert left_out(volume) == {
        "/data": "on another disk than the volume",
        "/scratch": "instance store volume",
        "/home": "network file system (nfs4)",  # and what is mounted in it
        "/var/lib/nfs/rpc_pipefs": "no file system of a disk (rpc_pipefs)",
    }


def test_all_mounts_are_those_of_other_disks_but_no_instance_store() -> None:
    volume = read(machines.AMAZON_LINUX_2023, all_mounts=True)
    assert list(copied(volume)) == ["/", "/boot/efi", "/data"]


def test_ubuntu_has_a_boot_partition_snaps_and_containers() -> None:
    volume = read(machines.UBUNTU_2404)
    assert copied(volume) == {
        "/": "/dev/nvme0n1p1",
        "/boot": "/dev/nvme0n1p16",
        "/boot/efi": "/dev/nvme0n1p15",
    }
    assert volume.scheme is GPT
    assert [one.file_system.label for one in volume.mounts] == ["cloudimg-rootfs", "BOOT", "UEFI"]
    assert left_out(volume) == {
        "/snap/core22/1380": "file system of an image or disc (squashfs)",
        "/snap/snapd/21759": "file system of an image or disc (squashfs)",
        "/var/lib/docker/overlay2/0f/merged": "no file system of a disk (overlay)",
        "/var/www": "bind mount of a directory or file",
    }


def test_xen_with_a_util_linux_that_knows_no_tables() -> None:
    volume = read(machines.XEN_AMAZON_LINUX_2)
    assert copied(volume) == {"/": "/dev/xvda1"}
    assert (volume.scheme, volume.disk_id) == (MBR, "3e0ac9d1")
    assert volume.root.partition_uuid == "3e0ac9d1-01"
    reasons = dict.fromkeys(("/media/ephemeral0", "/srv/cache"), "instance store volume")
    assert left_out(volume) == reasons


def test_paravirtual_root_without_a_disk() -> None:
    volume = read(machines.PARAVIRTUAL)
    assert copied(volume) == {"/": "/dev/sda1"}
    assert (volume.scheme, volume.disk_id, volume.root.partition_uuid) == (None, "", "")
    assert volume.root.file_system.label == "/"
    assert left_out(volume) == {"/srv/scratch": "instance store volume"}


def test_lvm_is_on_the_disk_below_it() -> None:
    volume = read(machines.RHEL_LVM)
    assert copied(volume) == {
        "/": "/dev/mapper/rhel-root",
        "/boot": "/dev/xvda2",
        "/var": "/dev/mapper/rhel-var",
    }
    assert volume.scheme is GPT
    assert left_out(volume) == {"/data": "on another disk than the volume"}
    everything = read(machines.RHEL_LVM, all_mounts=True)
    data = next(one for one in everything.mounts if one.path == "/data")
    uuid = "d1a1a1a1-2222-4333-8444-555555555506"
    assert data.file_system == FileSystem(type=FileSystemType.EXT4, uuid=uuid)
    assert volume_notes(everything) == ("/data: jfs cannot be made; its files go into ext4",)
    assert volume_notes(volume) == ()


@pytest.mark.parametrize(
    ("machine", "devices", "scheme", "disk_id"),
    [
        (machines.LUKS, ["/dev/mapper/vda2_crypt", "/dev/vda1"], MBR, "1a2b3c4d"),
        (
            machines.MD_RAID,
            ["/dev/md0", "/dev/md1"],
            GPT,
            "aa0f1ad0-1111-4222-8333-444455556666",
        ),
    ],
    ids=["luks", "md"],
)
def test_devices_that_lie_on_others(
    machine: RecordedMachine, devices: list[str], scheme: PartitionScheme, disk_id: str
) -> None:
    volume = read(machine)
    assert list(copied(volume).values()) == devices
    assert (volume.scheme, volume.disk_id) == (scheme, disk_id)


def test_subvolumes_are_copied_but_not_snapshots() -> None:
    volume = read(machines.OPENSUSE_BTRFS)
    assert copied(volume) == {"/": "/dev/vda3", "/boot/efi": "/dev/vda2", "/home": "/dev/vda3"}
    assert [one.subvolume for one in volume.mounts] == ["@/.snapshots/1/snapshot", "", "@/home"]
    assert left_out(volume) == {
        "/.snapshots": "snapshots of the volume",
        "/opt": "bind mount of a directory or file",
    }


def test_a_container_has_no_device() -> None:
    volume = read(machines.CONTAINER)
    assert copied(volume) == {"/": ""}
    assert (volume.scheme, volume.root.type) == (None, "overlay")
    assert volume.root.file_system == FileSystem(type=FileSystemType.EXT4)
    bind = "bind mount of a directory or file"
    assert left_out(volume) == {"/data": bind, "/etc/resolv.conf": bind}


def test_a_root_with_a_device_needs_lsblk() -> None:
    machine = RecordedMachine(mounts="1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", devices="")
    with pytest.raises(HostError, match="sysfs"):
        read(machine)


def test_what_the_file_system_was_made_with_comes_from_itself() -> None:
    known = FileSystem(type=FileSystemType.EXT3, uuid="u", features=("has_journal",))
    volume = read_volume(Path("/"), read_file_system=lambda _: known, machine=machines.UBUNTU_2404)
    assert volume.root.file_system is known
    assert volume.mounts[2].file_system.type is FileSystemType.VFAT


def test_a_tree_below_a_mount_point(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    link = tmp_path / "link"
    link.symlink_to(tree)
    mounts = (
        "1 0 8:1 / / rw - xfs /dev/sda1 rw\n"
        f"2 1 0:5 / {tree}/proc rw - proc proc rw\n3 1 8:2 / {tree}/boot rw - ext4 /dev/sda2 rw\n"
        f"4 1 8:1 /x {tree}/x rw - xfs /dev/sda1 rw\n5 1 8:1 / {tree}2 rw - ext4 /dev/sda2 rw\n"
    )
    machine = RecordedMachine(
        mounts=mounts,
        devices="sda 8:0 disk PTTYPE=gpt PTUUID=0a0f1ad0-1111-4222-8333-444455556666\n"
        "  sda1 8:1 part UUID=01a1a1a1-2222-4333-8444-555555555501\n"
        "  sda2 8:2 part UUID=01a1a1a1-2222-4333-8444-555555555502\n",
    )
    volume = read(machine, str(link))
    assert (volume.path, volume.is_mount_point, volume.scheme) == (str(tree), False, None)
    assert copied(volume) == {"/": "", "/boot": "/dev/sda2"}
    assert volume.mounts[1].mount_point == f"{tree}/boot"
    assert volume.root.file_system == FileSystem(type=FileSystemType.EXT4)
    assert set(left_out(volume)) == {"/x"}


def test_hostile_labels_count_as_none() -> None:
    machine = RecordedMachine(
        mounts="1 0 8:1 / / rw - ext4 /dev/sda1 rw\n",
        devices="sda1 8:1 disk UUID=../../etc LABEL=\x1b[2J\n",
    )
    assert read(machine).root.file_system == FileSystem(type=FileSystemType.EXT4)


def test_thousands_of_mounts_and_a_circle_of_devices() -> None:
    many = "".join(
        f"{number} 1 0:{number} / /var/c/{number} rw - overlay overlay rw\n"
        for number in range(2, 20_000)
    )
    machine = RecordedMachine(
        mounts=f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n{many}",
        devices="sda1 8:1 part PKNAME=sda2 PTTYPE=dos PTUUID=1a2b UUID=x\n"
        "sda2 8:2 part PKNAME=sda1 PTTYPE=dos PTUUID=1a2b\n",
    )
    volume = read(machine)
    assert len(volume.left_out) == 19_998
    assert (volume.scheme, volume.disk_id) == (MBR, "00001a2b")


def test_what_is_no_volume(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a directory"):
        read(machines.LUKS, str(tmp_path / "file"))
    with pytest.raises(MissingError):
        read(machines.LUKS, str(tmp_path / "none"))
    with pytest.raises(InputError, match="no mount of it"):
        read(RecordedMachine(mounts="", devices="x"))


class OnDemandMachine:
    """A machine whose ESP is mounted when somebody looks into its directory."""

    def __init__(self) -> None:
        self.looks = 0

    def mount_table(self) -> bytes:
        self.looks += 1
        table = (
            "1 0 252:1 / / rw - ext4 /dev/vda1 rw\n"
            "2 1 0:40 / /boot/efi rw - autofs systemd-1 rw\n3 1 0:41 / /net rw - autofs x rw\n"
        )
        later = "4 2 252:2 / /boot/efi rw - vfat /dev/vda2 rw\n"
        return (table + (later if self.looks > 1 else "")).encode()

    def block_devices(self, columns: Sequence[str]) -> bytes:
        lines = "vda 252:0 disk\n  vda1 252:1 part\n  vda2 252:2 part UUID=0C0D-F00D\n"
        return machines.lsblk_json(lines, columns)

    def probe(self, device: Path) -> bytes:
        return b"ID_PART_TABLE_TYPE=gpt\n" if device == Path("/dev/vda") else b""


def test_boot_files_that_are_mounted_on_demand() -> None:
    machine = OnDemandMachine()
    volume = read_volume(Path("/"), read_file_system=lambda _: None, machine=machine)
    assert copied(volume) == {"/": "/dev/vda1", "/boot/efi": "/dev/vda2"}
    assert left_out(volume) == {"/net": "no file system of a disk (autofs)"}
    assert (volume.scheme, volume.disk_id, machine.looks) == (GPT, "", 2)


def test_a_volume_of_this_machine(tmp_path: Path) -> None:
    require_tool("blkid")
    require_tool("lsblk")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    image, volume_path = tmp_path / "image", tmp_path / "a volume"
    image.touch()
    os.truncate(image, 4 * 1024 * 1024)
    uuid = "aaaaaaaa-1111-4222-8333-444455556666"
    use_tool("mke2fs", "-q", "-t", "ext4", "-U", uuid, "-L", "a label", image)
    volume_path.mkdir()
    if run_program("mount", "-o", "loop", image, volume_path).code:
        lacking("needs loop devices")
    try:
        (volume_path / "proc").mkdir()
        use_tool("mount", "-t", "proc", "proc", volume_path / "proc")
        volume = read_volume(volume_path, read_file_system=lambda _: None)
    finally:
        run_program("umount", "-R", volume_path)
    assert (volume.path, volume.is_mount_point, volume.scheme) == (str(volume_path), True, None)
    assert volume.root.device.startswith("/dev/loop")
    assert volume.root.file_system == FileSystem(
        type=FileSystemType.EXT4, uuid=uuid, label="a label"
    )
    assert [one.path for one in volume.left_out] == ["/proc"]
