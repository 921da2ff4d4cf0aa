"""Mounts and block devices of machines as their documentation and users' listings show them.

They are written after those, not recorded on such machines.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundler.errors import HostError

MODERN = "NAME KNAME PATH PKNAME MAJ:MIN TYPE FSTYPE LABEL UUID PARTUUID PTTYPE PTUUID MODEL SIZE"
AMAZON_LINUX_2 = "NAME KNAME PKNAME MAJ:MIN TYPE FSTYPE LABEL UUID PARTUUID MODEL SIZE"
"""Columns of util-linux 2.38 and 2.30, of those that we know."""

PSEUDO = """\
22 1 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
23 1 0:22 / /sys rw,nosuid,nodev,noexec,relatime shared:2 - sysfs sysfs rw
24 1 0:5 / /dev rw,nosuid shared:10 - devtmpfs devtmpfs rw,size=4096k,nr_inodes=490123,mode=755
25 24 0:23 / /dev/shm rw,nosuid,nodev shared:11 - tmpfs tmpfs rw,inode64
26 1 0:24 / /run rw,nosuid,nodev shared:13 - tmpfs tmpfs rw,size=800000k,mode=755,inode64
27 23 0:25 / /sys/fs/cgroup rw,nosuid shared:3 - cgroup2 cgroup2 rw,nsdelegate
28 22 0:26 / /proc/sys/fs/binfmt_misc rw,relatime shared:15 - autofs systemd-1 rw,fd=29,pgrp=1
29 1 0:27 / /tmp rw,nosuid,nodev shared:16 - tmpfs tmpfs rw,size=4000000k
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMachine:
    """Answers as a machine does."""

    mounts: str
    devices: str
    """A line each: name, number, type, then KEY=value; below which it lies by indentation."""
    columns: str = MODERN
    probes: Mapping[str, bytes] = field(default_factory=dict)

    def mount_table(self) -> bytes:
        return self.mounts.encode("utf-8", "surrogateescape")

    def block_devices(self, columns: Sequence[str]) -> bytes:
        known = [name for name in columns if name in self.columns.split()]
        if not self.devices:
            raise HostError("run lsblk: failed to access sysfs directory: /sys/dev/block")
        return lsblk_json(self.devices, known)

    def probe(self, device: Path) -> bytes:
        return self.probes.get(str(device), b"")


def lsblk_json(devices: str, columns: Sequence[str]) -> bytes:
    """What lsblk prints; numbers are strings where it has no column PATH, as before 2.33."""
    top: list[dict[str, object]] = []
    levels = [top]
    for line in devices.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, number, kind, *rest = line.split()
        values = dict(word.split("=", 1) for word in rest)
        kernel_name = values.get("KNAME", name)
        mapped = f"/dev/mapper/{name}" if kernel_name != name else f"/dev/{name}"
        parent = values.get("PKNAME")
        values |= {"NAME": name, "KNAME": kernel_name, "PATH": mapped, "MAJ:MIN": number}
        values["TYPE"] = kind
        row: dict[str, object] = {
            column.lower(): values.get(column, "").replace("_", " ")
            if column == "MODEL"
            else values.get(column)
            for column in columns
        }
        row["size"] = "8589934592" if "PATH" not in columns else 8589934592
        row["pkname"] = parent
        del levels[depth + 1 :]
        levels[depth].append(row)
        levels.append(row.setdefault("children", []))  # type: ignore[arg-type]
    return json.dumps({"blockdevices": top}).encode()


AMAZON_LINUX_2023 = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 259:1 / / rw,noatime shared:1 - xfs /dev/nvme0n1p1 rw,seclabel,attr2,inode64,noquota
40 1 259:3 / /boot/efi rw,noatime shared:30 - vfat /dev/nvme0n1p128 rw,fmask=0077,dmask=0077
41 1 259:4 / /data rw,relatime shared:31 - xfs /dev/nvme1n1 rw,attr2
42 1 259:5 / /scratch rw,relatime shared:32 - ext4 /dev/nvme2n1 rw
43 1 0:50 / /var/lib/nfs/rpc_pipefs rw,relatime shared:33 - rpc_pipefs rpc_pipefs rw
44 1 0:51 / /home rw,relatime shared:34 - nfs4 fs-0123.efs.us-east-1.amazonaws.com:/ rw,vers=4.1
45 44 0:52 / /home/ec2-user/sshfs rw shared:35 - fuse.sshfs me@there:/srv rw,user_id=1000
""",
    devices="""\
nvme0n1 259:0 disk PTTYPE=gpt PTUUID=30AF5F88-1111-4222-8333-444455556666
  nvme0n1p1 259:1 part FSTYPE=xfs LABEL=/ UUID=7c7ee118-3a5f-4a02-9a16-5d4f9ec7a1e3 \
PARTUUID=B7A3FD4B-1111-4222-8333-444455556601 PTTYPE=gpt
  nvme0n1p127 259:2 part PARTUUID=7b6be4a7-1111-4222-8333-444455556602 PTTYPE=gpt
  nvme0n1p128 259:3 part FSTYPE=vfat UUID=0C0D-F00D PARTUUID=2cb7bfe6-1111-4222-8333-444455556603
nvme1n1 259:4 disk FSTYPE=xfs UUID=11111111-2222-4333-8444-555555555555 \
MODEL=Amazon_Elastic_Block_Store
nvme2n1 259:5 disk FSTYPE=ext4 UUID=21111111-2222-4333-8444-555555555555 \
MODEL=Amazon_EC2_NVMe_Instance_Storage
""",
)

UBUNTU_2404 = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard,errors=remount-ro,commit=30
40 1 7:0 / /snap/core22/1380 ro,nodev,relatime shared:30 - squashfs /dev/loop0 ro,errors=continue
41 1 7:1 / /snap/snapd/21759 ro,nodev,relatime shared:31 - squashfs /dev/loop1 ro,errors=continue
42 1 259:4 / /boot rw,relatime shared:32 - ext4 /dev/nvme0n1p16 rw
43 42 259:3 / /boot/efi rw,relatime shared:33 - vfat /dev/nvme0n1p15 rw,fmask=0077,dmask=0077
44 1 0:60 / /var/lib/docker/overlay2/0f/merged rw shared:34 - overlay overlay rw,lowerdir=/a:/b
45 26 0:4 net:[4026532281] /run/docker/netns/default rw shared:35 - nsfs nsfs rw
46 1 259:1 /srv/www /var/www rw,relatime shared:1 - ext4 /dev/root rw,discard
""",
    devices="""\
loop0 7:0 loop FSTYPE=squashfs
loop1 7:1 loop FSTYPE=squashfs
nvme0n1 259:0 disk PTTYPE=gpt PTUUID=8f0f1ad0-1111-4222-8333-444455556666
  nvme0n1p1 259:1 part FSTYPE=ext4 LABEL=cloudimg-rootfs UUID=c3f7ab30-1111-4222-8333-000000000001
  nvme0n1p14 259:2 part
  nvme0n1p15 259:3 part FSTYPE=vfat LABEL=UEFI UUID=B1A2-C3D4
  nvme0n1p16 259:4 part FSTYPE=ext4 LABEL=BOOT UUID=c3f7ab30-1111-4222-8333-000000000016
""",
)

XEN_AMAZON_LINUX_2 = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 202:1 / / rw,noatime shared:1 - xfs /dev/xvda1 rw,attr2,inode64,noquota
40 1 202:16 / /media/ephemeral0 rw,relatime shared:30 - ext3 /dev/xvdb rw
41 1 202:32 / /srv/cache rw,relatime shared:31 - ext3 /dev/xvdc rw
""",
    devices="""\
xvda 202:0 disk
  xvda1 202:1 part FSTYPE=xfs LABEL=/ UUID=a1a1a1a1-2222-4333-8444-555555555555 PARTUUID=3e0ac9d1-01
xvdb 202:16 disk FSTYPE=ext3
xvdc 202:32 disk FSTYPE=ext3
""",
    columns=AMAZON_LINUX_2,
    probes={"/dev/xvda": b"ID_PART_TABLE_UUID=3e0ac9d1\nID_PART_TABLE_TYPE=dos\n"},
)

PARAVIRTUAL = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 8:1 / / rw,noatime - ext4 /dev/root rw,data=ordered
40 1 8:2 / /srv/scratch rw,relatime - ext3 /dev/sda2 rw
""",
    devices="""\
sda1 8:1 disk FSTYPE=ext4 LABEL=/ UUID=b1a1a1a1-2222-4333-8444-555555555555
sda2 8:2 disk FSTYPE=ext3
sda3 8:3 disk FSTYPE=swap
""",
    columns=AMAZON_LINUX_2,
)

RHEL_LVM = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 253:0 / / rw,relatime shared:1 - xfs /dev/mapper/rhel-root rw,seclabel,attr2,inode64
40 1 202:2 / /boot rw,relatime shared:30 - xfs /dev/xvda2 rw,seclabel,attr2,inode64
41 1 253:2 / /var rw,relatime shared:31 - xfs /dev/mapper/rhel-var rw,seclabel
42 1 253:3 / /data rw,relatime shared:32 - jfs /dev/mapper/other-data rw
""",
    devices="""\
xvda 202:0 disk PTTYPE=gpt PTUUID=0a0f1ad0-1111-4222-8333-444455556666
  xvda1 202:1 part
  xvda2 202:2 part FSTYPE=xfs UUID=d1a1a1a1-2222-4333-8444-555555555502
  xvda3 202:3 part FSTYPE=LVM2_member UUID=8RtdyG-Hm9K-aCTj-3ZlX-XXXX-XXXX-abcdef
    rhel-root 253:0 lvm KNAME=dm-0 FSTYPE=xfs UUID=d1a1a1a1-2222-4333-8444-555555555503
    rhel-swap 253:1 lvm KNAME=dm-1 FSTYPE=swap UUID=d1a1a1a1-2222-4333-8444-555555555504
    rhel-var 253:2 lvm KNAME=dm-2 FSTYPE=xfs UUID=d1a1a1a1-2222-4333-8444-555555555505
xvdf 202:80 disk FSTYPE=LVM2_member
  other-data 253:3 lvm KNAME=dm-3 FSTYPE=jfs LABEL=a-label-of-more-than-sixteen \
UUID=d1a1a1a1-2222-4333-8444-555555555506
""",
)

LUKS = RecordedMachine(
    mounts="1 0 254:1 / / rw - ext4 /dev/mapper/vda2_crypt rw\n2 1 252:1 / /boot rw - ext2 "
    "/dev/vda1 rw\n",
    devices="""\
vda 252:0 disk PTTYPE=dos PTUUID=1a2b3c4d
  vda1 252:1 part FSTYPE=ext2 UUID=e1a1a1a1-2222-4333-8444-555555555501 PARTUUID=1a2b3c4d-01
  vda2 252:2 part FSTYPE=crypto_LUKS PARTUUID=1a2b3c4d-02
    vda2_crypt 254:1 crypt KNAME=dm-1 FSTYPE=ext4 UUID=e1a1a1a1-2222-4333-8444-555555555502
""",
)

MD_RAID = RecordedMachine(
    mounts="1 0 9:0 / / rw - ext4 /dev/md0 rw\n2 1 9:1 / /home rw - ext4 /dev/md1 rw\n",
    devices="""\
nvme0n1 259:0 disk PTTYPE=gpt PTUUID=aa0f1ad0-1111-4222-8333-444455556666
  nvme0n1p1 259:1 part FSTYPE=linux_raid_member
    md0 9:0 raid1 FSTYPE=ext4 UUID=f1a1a1a1-2222-4333-8444-555555555501
nvme1n1 259:2 disk PTTYPE=gpt PTUUID=bb0f1ad0-1111-4222-8333-444455556666
  nvme1n1p1 259:3 part FSTYPE=linux_raid_member
    md0 9:0 raid1 FSTYPE=ext4 UUID=f1a1a1a1-2222-4333-8444-555555555501
  nvme1n1p2 259:4 part FSTYPE=ext4 UUID=f1a1a1a1-2222-4333-8444-555555555503
    md1 9:1 raid0 FSTYPE=ext4 UUID=f1a1a1a1-2222-4333-8444-555555555502
""",
)

OPENSUSE_BTRFS = RecordedMachine(
    mounts=PSEUDO
    + """\
1 0 0:30 /@/.snapshots/1/snapshot / rw,relatime shared:1 - btrfs /dev/vda3 \
rw,space_cache=v2,subvolid=268,subvol=/@/.snapshots/1/snapshot
40 1 0:30 /@/.snapshots /.snapshots rw shared:30 - btrfs /dev/vda3 rw,subvol=/@/.snapshots
41 1 0:30 /@/home /home rw,relatime shared:31 - btrfs /dev/vda3 rw,subvolid=264,subvol=/@/home
42 1 0:30 /@/var/lib/x /opt rw,relatime shared:32 - btrfs /dev/vda3 rw,subvolid=258,subvol=/@/var
43 1 252:2 / /boot/efi rw,relatime shared:33 - vfat /dev/vda2 rw
""",
    devices="""\
vda 252:0 disk PTTYPE=gpt PTUUID=cc0f1ad0-1111-4222-8333-444455556666
  vda1 252:1 part
  vda2 252:2 part FSTYPE=vfat UUID=4B2A-1C3D
  vda3 252:3 part FSTYPE=btrfs UUID=01a1a1a1-2222-4333-8444-555555555501
""",
)

CONTAINER = RecordedMachine(
    mounts="""\
1183 1032 0:61 / / rw,relatime master:301 - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u
1184 1183 0:64 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1190 1183 259:1 /containers/abc/resolv.conf /etc/resolv.conf rw - ext4 /dev/root rw
1191 1183 259:1 /volumes/db/_data /data rw,relatime - ext4 /dev/root rw
1192 1184 0:70 / /proc/acpi ro,relatime - tmpfs tmpfs ro
""",
    devices="",
)
