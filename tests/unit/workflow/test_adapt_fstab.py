"""Fstabs in images: those of Linux distributions adapted, new ones, and given ones checked.

The distributions' files are written after those of their images for EC2, not taken from them.
"""

from dataclasses import replace

import pytest

from bundler.model.disk import Disk, Partition, PartitionRole
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import LeftOutMount, SourceMount, Volume
from bundler.workflow.adapt_fstab import adapt_fstab, check_fstab, generate_fstab, note_mappings

ROOT_UUID = "aaaaaaaa-1111-4222-8333-444455556666"
BOOT_UUID = "bbbbbbbb-1111-4222-8333-444455556666"
ESP_UUID = "B1A2-C3D4"
PART_UUID = "cccccccc-1111-4222-8333-444455556666"

KINDS = {
    "/": (PartitionRole.ROOT, ROOT_UUID),
    "/boot": (PartitionRole.BOOT, BOOT_UUID),
    "/boot/efi": (PartitionRole.ESP, ESP_UUID),
}


def disk_of(*parts: str, bare: bool = False) -> Disk:
    """A disk of partitions "mount-point:type[:label]"."""
    partitions = []
    for number, part in enumerate(parts, 1):
        point, kind, *label = part.split(":")
        role, uuid = KINDS[point]
        system = FileSystem(type=FileSystemType(kind), uuid=uuid, label="".join(label))
        partitions.append(
            Partition(
                number=0 if bare else number,
                role=role,
                offset=0,
                size=1,
                mount_point=point,
                file_system=system,
                uuid="" if bare else PART_UUID[:-1] + str(number),
            )
        )
    scheme = None if bare else PartitionScheme.GPT
    return Disk(size=1, scheme=scheme, id="", partitions=tuple(partitions))


def volume_of(*mounts: str, left_out: tuple[LeftOutMount, ...] = ()) -> Volume:
    """A volume with mounts "path:device:type[:subvolume]"."""
    sources = []
    for mount in mounts:
        path, device, kind, *subvolume = mount.split(":")
        made = FileSystem(type=FileSystemType.EXT4)
        sources.append(
            SourceMount(
                path=path,
                mount_point=path,
                device=device,
                file_system=made,
                type=kind,
                subvolume="".join(subvolume),
            )
        )
    return Volume(
        path="/", is_mount_point=True, mounts=tuple(sources), left_out=left_out, scheme=None
    )


PLAIN = volume_of("/:/dev/xvda1:ext4")


def adapted(fstab: str, disk: Disk, volume: Volume = PLAIN) -> list[str]:
    """Lines of the result; adapting it once more changes nothing."""
    data, _ = adapt_fstab(fstab.encode(), disk, volume)
    assert adapt_fstab(data, disk, volume)[0] == data
    return data.decode().splitlines()


AMAZON_LINUX_1 = """\
#
LABEL=/     /           ext4    defaults,noatime  1   1
tmpfs       /dev/shm    tmpfs   defaults        0   0
devpts      /dev/pts    devpts  gid=5,mode=620  0   0
sysfs       /sys        sysfs   defaults        0   0
proc        /proc       proc    defaults        0   0
"""
AMAZON_LINUX_2023 = f"""\
#
UUID={ROOT_UUID}     /           xfs    defaults,noatime  1   1
UUID={ESP_UUID}        /boot/efi       vfat    defaults,noatime,uid=0,gid=0,umask=0077 0   2
"""
UBUNTU = """\
LABEL=cloudimg-rootfs	/	 ext4	discard,commit=30,errors=remount-ro	0 1
LABEL=BOOT	/boot	ext4	defaults	0 2
LABEL=UEFI	/boot/efi	vfat	umask=0077	0 1
"""
DEBIAN = f"""\
# /etc/fstab: static file system information
PARTUUID={PART_UUID[:-1]}1 / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
PARTUUID={PART_UUID[:-1]}2 /boot/efi vfat defaults 0 0
"""


@pytest.mark.parametrize(
    ("fstab", "disk"),
    [
        (AMAZON_LINUX_1, disk_of("/:ext4:/", bare=True)),
        (AMAZON_LINUX_2023, disk_of("/:xfs:/", "/boot/efi:vfat")),
        (UBUNTU, disk_of("/:ext4:cloudimg-rootfs", "/boot:ext4:BOOT", "/boot/efi:vfat:UEFI")),
        (DEBIAN, disk_of("/:ext4", "/boot/efi:vfat")),
    ],
    ids=["amazon-linux-1", "amazon-linux-2023", "ubuntu", "debian"],
)
def test_what_is_right_stays_byte_by_byte(fstab: str, disk: Disk) -> None:
    assert adapt_fstab(fstab.encode(), disk, PLAIN) == (fstab.encode(), ())


def test_amazon_linux_2_on_a_disk_with_other_uuids() -> None:
    fstab = (
        "#\nUUID=e8f49d85-e739-436f-82ed-d474016253fe     /           xfs    "
        "defaults,noatime  1   1\n/swapfile swap swap defaults 0 0\n"
    )
    assert adapted(fstab, disk_of("/:xfs:/")) == [
        "#",
        "# ami-bundler: changed: its device was UUID=e8f49d85-e739-436f-82ed-d474016253fe",
        f"UUID={ROOT_UUID}     /           xfs    defaults,noatime  1   1",
        "# ami-bundler: commented out: the image has no swap",
        "#/swapfile swap swap defaults 0 0",
    ]


def test_paravirtual_amazon_linux() -> None:
    fstab = (
        "/dev/sda1 / ext3 defaults 1 1\n/dev/sda2 /mnt ext3 defaults 0 0\n/dev/sda3 none swap sw\n"
    )
    note = "# ami-bundler: nofail added: not every instance has an instance store volume there"
    assert adapted(fstab, disk_of("/:ext3", bare=True)) == [
        "# ami-bundler: changed: its device was /dev/sda1",
        f"UUID={ROOT_UUID} / ext3 defaults 1 1",
        note,
        "/dev/sda2 /mnt ext3 defaults,nofail 0 0",
        note,
        "/dev/sda3 none swap sw,nofail",
    ]
    # On a disk with partitions the same names are partitions, which the image lacks.
    assert "#/dev/sda2 /mnt ext3 defaults 0 0" in adapted(fstab, disk_of("/:ext3"))


def test_rhel_on_lvm_with_what_is_merged_into_the_root() -> None:
    volume = volume_of("/:/dev/mapper/rhel-root:xfs", "/boot:/dev/vda2:xfs", "/var:/dev/dm-2:xfs")
    fstab = f"""\
/dev/mapper/rhel-root   /                       xfs     defaults        0 0
UUID={BOOT_UUID} /boot                   xfs     defaults        0 0
/dev/mapper/rhel-var    /var                    xfs     defaults,nofail 0 0
/dev/mapper/rhel-swap   none                    swap    defaults        0 0
/dev/md/data  /srv  ext4  defaults  0 0
LABEL=backup  /backup  ext4  noauto  0 0
"""
    disk = disk_of("/:xfs", "/boot:xfs")
    data, notes = adapt_fstab(fstab.encode(), disk, volume)
    assert data.decode().splitlines() == [
        "# ami-bundler: changed: its device was /dev/mapper/rhel-root",
        f"UUID={ROOT_UUID}   /                       xfs     defaults        0 0",
        f"UUID={BOOT_UUID} /boot                   xfs     defaults        0 0",
        "# ami-bundler: commented out: its files are in the file system above it",
        "#/dev/mapper/rhel-var    /var                    xfs     defaults,nofail 0 0",
        "# ami-bundler: commented out: the image has no swap",
        "#/dev/mapper/rhel-swap   none                    swap    defaults        0 0",
        "# ami-bundler: commented out: its device /dev/md/data is not in the image",
        "#/dev/md/data  /srv  ext4  defaults  0 0",
        "LABEL=backup  /backup  ext4  noauto  0 0",
    ]
    assert notes[1:3] == (
        "/etc/fstab line 3: /var: commented out: its files are in the file system above it",
        "/etc/fstab line 4: none: commented out: the image has no swap",
    )
    assert notes[-1] == "/etc/fstab line 6: /backup: kept, but LABEL=backup is not in the image"


def test_opensuse_loses_its_subvolumes() -> None:
    volume = volume_of(
        "/:/dev/vda3:btrfs:@/.snapshots/1/snapshot",
        "/boot/efi:/dev/vda2:vfat",
        "/home:/dev/vda3:btrfs:@/home",
    )
    fstab = f"""\
UUID={ROOT_UUID}  /            btrfs  subvol=@                0  0
UUID={ROOT_UUID}  /.snapshots  btrfs  subvol=/@/.snapshots  0  0
UUID={ROOT_UUID}  /home        btrfs  subvol=/@/home          0  0
UUID={ESP_UUID}   /boot/efi    vfat   utf8                    0  2
"""
    assert adapted(fstab, disk_of("/:btrfs"), volume) == [
        "# ami-bundler: changed: its options were subvol=@",
        f"UUID={ROOT_UUID}  /            btrfs  defaults                0  0",
        "# ami-bundler: commented out: subvolumes become directories",
        f"#UUID={ROOT_UUID}  /.snapshots  btrfs  subvol=/@/.snapshots  0  0",
        "# ami-bundler: commented out: subvolumes become directories: its files are in the file "
        "system above it",
        f"#UUID={ROOT_UUID}  /home        btrfs  subvol=/@/home          0  0",
        "# ami-bundler: commented out: its files are in the file system above it",
        f"#UUID={ESP_UUID}   /boot/efi    vfat   utf8                    0  2",
    ]


def test_what_needs_no_disk_of_the_image_stays() -> None:
    fstab = f"""\
UUID={ROOT_UUID} / ext4 defaults 0 1
fs-1.efs.amazonaws.com:/ /efs nfs4 _netdev 0 0
//server/share /share cifs guest
sshfs#me@there: /there fuse defaults
/srv/data /data none bind
/srv/cd.iso /cd iso9660 loop,ro
overlay /o overlay lowerdir=/a,upperdir=/b,workdir=/c
/dev/zram0 none swap defaults
/dev/xvdb /mnt auto defaults,nofail,x-systemd.requires=cloud-init.service,comment=cloudconfig 0 2
UUID={ROOT_UUID} /again ext4 ro
"""
    assert adapt_fstab(fstab.encode(), disk_of("/:ext4"), PLAIN) == (fstab.encode(), ())


def test_an_instance_store_volume_by_its_nvme_name() -> None:
    store = LeftOutMount(
        path="/fast", type="xfs", source="/dev/nvme1n1", reason="instance store volume"
    )
    volume = volume_of("/:/dev/nvme0n1p1:ext4", left_out=(store,))
    fstab = f"UUID={ROOT_UUID} / ext4\n/dev/nvme1n1 /fast xfs noatime\nUUID=1 /fast xfs noatime\n"
    assert adapted(fstab, disk_of("/:ext4"), volume)[2:] == [
        "/dev/nvme1n1 /fast xfs noatime,nofail",
        "# ami-bundler: commented out: its device UUID=1 is not in the image",
        "#UUID=1 /fast xfs noatime",
    ]


def test_another_type_takes_no_options_of_the_old_one() -> None:
    fstab = "/dev/sda1 / jfs noatime,iocharset=utf8,x-y 0 1\n"
    assert adapted(fstab, disk_of("/:ext4"))[1] == f"UUID={ROOT_UUID} / ext4 noatime,x-y 0 1"
    fstab = f"UUID={ROOT_UUID} / ext3 data=journal 0 1\n"
    assert adapted(fstab, disk_of("/:ext4"))[1] == f"UUID={ROOT_UUID} / ext4 data=journal 0 1"


@pytest.mark.parametrize("fstab", ["", "# UNCONFIGURED FSTAB FOR BASE SYSTEM", "rubbish\n"])
def test_missing_entries_are_added(fstab: str) -> None:
    lines = adapted(fstab, disk_of("/:xfs", "/boot:ext4", "/boot/efi:vfat"))
    assert lines[len(fstab.splitlines()) :] == [
        "# ami-bundler: added: there was no entry for /",
        f"UUID={ROOT_UUID}\t/\txfs\tdefaults\t0\t0",
        "# ami-bundler: added: there was no entry for /boot",
        f"UUID={BOOT_UUID}\t/boot\text4\tdefaults\t0\t2",
        "# ami-bundler: added: there was no entry for /boot/efi",
        f"UUID={ESP_UUID}\t/boot/efi\tvfat\tumask=0077,nofail\t0\t2",
    ]


def test_rubbish_cannot_break_out_of_a_comment() -> None:
    fstab = "/dev/x\\012UUID=evil\\040/\\040ext4 /a\\012b ext4 ro\rUUID=x /\n\0 \xff\n"
    data, notes = adapt_fstab(fstab.encode("latin-1"), disk_of("/:ext4"), PLAIN)
    effective = [line for line in data.split(b"\n") if line and not line.startswith(b"#")]
    assert effective == [b"\0 \xff", f"UUID={ROOT_UUID}\t/\text4\tdefaults\t0\t1".encode()]
    assert all(note.isprintable() for note in notes)


def test_a_generated_one() -> None:
    data = generate_fstab(disk_of("/:ext4", "/boot/efi:vfat"))
    assert data.decode().splitlines()[1:] == [
        f"UUID={ROOT_UUID}\t/\text4\tdefaults\t0\t1",
        f"UUID={ESP_UUID}\t/boot/efi\tvfat\tumask=0077,nofail\t0\t2",
    ]
    assert check_fstab(data, disk_of("/:ext4", "/boot/efi:vfat")) == ()


def test_a_file_system_without_uuid_is_found_by_its_label_or_partition() -> None:
    (root,) = disk_of("/:ext4:root").partitions
    assert root.file_system is not None
    for label, expected in (("root", b"LABEL=root\t"), ("", b"PARTUUID=cccccccc")):
        system = replace(root.file_system, uuid="", label=label)
        disk = replace(disk_of("/:ext4"), partitions=(replace(root, file_system=system),))
        assert expected in generate_fstab(disk)


def test_doubts_about_a_given_one() -> None:
    fstab = f"""\
/dev/sda1 / ext4 defaults
UUID={BOOT_UUID} /boot xfs defaults
/dev/sdb /mnt auto defaults
/dev/sdf /data xfs defaults
/dev/sdg /more xfs nofail
none /proc proc defaults
x
"""
    disk = disk_of("/:ext4", "/boot:ext4", "/boot/efi:vfat")
    assert check_fstab(fstab.encode(), disk) == (
        f"--fstab line 1: /dev/sda1 is not the image's /: UUID={ROOT_UUID}",
        "--fstab line 2: /boot is ext4, not xfs",
        "--fstab line 3: /dev/sdb may be missing at launch; the option nofail lets an instance "
        "start",
        "--fstab line 4: /dev/sdf is not in the image; the option nofail lets an instance start",
        "--fstab line 7: is no entry",
        "--fstab: mounts nothing on /boot/efi",
    )


def test_files_that_are_only_noted() -> None:
    crypttab = b"# <target> <source>\nvda2_crypt UUID=x none luks\n"
    mdadm = b"MAILADDR root\nARRAY /dev/md/0 UUID=1\narray /dev/md/1\n"
    assert note_mappings(crypttab=crypttab, mdadm=mdadm) == (
        "/etc/crypttab: kept, but no device of vda2_crypt is in the image",
        "mdadm.conf: kept, but none of its 2 arrays is in the image",
    )
    assert note_mappings(crypttab=b"# nothing\n", mdadm=b"\n") == ()
