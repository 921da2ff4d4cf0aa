"""Configurations of boot loaders, as they are on machines of many kinds, for an image's disk.

The files are written after what those systems write, not taken from them.
"""

import random

import pytest

from bundler.codec.boot_config import BootConfigKind, BootNames, needs_names, rewrite_boot_config

ROOT = "11111111-2222-4333-8444-555555555555"
OLD = "99999999-2222-4333-8444-555555555555"
PART = "cafe0123-0000-4000-8000-000000000001"
FILES = frozenset(("vmlinuz-6.1", "initrd.img-6.1", "initramfs-6.1.img"))

NAMES = BootNames(
    root_uuid=ROOT,
    boot_uuid=ROOT,
    root_label="cloudimg-rootfs",
    root_type="ext4",
    root_partition_uuid=PART,
    uuids=frozenset((ROOT,)),
    boot_files=FILES,
)

GRUB, DEFAULTS = BootConfigKind.GRUB, BootConfigKind.DEFAULTS
ENTRY, SYSLINUX, LEGACY = BootConfigKind.ENTRY, BootConfigKind.SYSLINUX, BootConfigKind.LEGACY
LINE = BootConfigKind.COMMAND_LINE

CASES = {
    "grub names a device": (
        GRUB,
        "\tlinux /boot/vmlinuz-6.1 root=/dev/nvme0n1p1 ro console=ttyS0\n",
        f"\tlinux /boot/vmlinuz-6.1 root=UUID={ROOT} ro console=ttyS0\n",
    ),
    "grub searches for another file system": (
        GRUB,
        f"  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1 {OLD}\n",
        f"  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt1 {ROOT}\n",
    ),
    "grub's files when /boot was a file system": (
        GRUB,
        "  linux /vmlinuz-6.1 ro\n  initrd /initrd.img-6.1\n",
        "  linux /boot/vmlinuz-6.1 ro\n  initrd /boot/initrd.img-6.1\n",
    ),
    "RHEL on LVM": (
        GRUB,
        "linux16 /vmlinuz-6.1 root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root "
        "rd.lvm.lv=rhel/swap resume=/dev/mapper/rhel-swap rhgb quiet\n",
        f"linux16 /boot/vmlinuz-6.1 root=UUID={ROOT} ro rhgb quiet\n",
    ),
    "openSUSE on btrfs": (
        GRUB,
        f"linux /boot/vmlinuz-6.1 root=UUID={OLD} rootflags=subvol=@/.snapshots/1/snapshot quiet\n",
        f"linux /boot/vmlinuz-6.1 root=UUID={ROOT} quiet\n",
    ),
    "Debian's cloud image": (
        GRUB,
        "linux /boot/vmlinuz-6.1 root=PARTUUID=deadbeef-0000-4000-8000-000000000001 ro\n",
        f"linux /boot/vmlinuz-6.1 root=PARTUUID={PART} ro\n",
    ),
    "Ubuntu's label stays": (
        GRUB,
        "linux /boot/vmlinuz-6.1 root=LABEL=cloudimg-rootfs ro\n",
        "linux /boot/vmlinuz-6.1 root=LABEL=cloudimg-rootfs ro\n",
    ),
    "Ubuntu's forced PARTUUID": (
        DEFAULTS,
        "GRUB_FORCE_PARTUUID=deadbeef-0000-4000-8000-000000000001\n",
        f"GRUB_FORCE_PARTUUID={PART}\n",
    ),
    "defaults of Amazon Linux 2": (
        DEFAULTS,
        'GRUB_CMDLINE_LINUX_DEFAULT="console=tty0 root=/dev/xvda1 net.ifnames=0"\n'
        "# root=/dev/xvda1 in a comment\n",
        f'GRUB_CMDLINE_LINUX_DEFAULT="console=tty0 root=UUID={ROOT} net.ifnames=0"\n'
        "# root=/dev/xvda1 in a comment\n",
    ),
    "boot loader specification": (
        ENTRY,
        "title Amazon Linux\nlinux /boot/vmlinuz-6.1\ninitrd /boot/initramfs-6.1.img\n"
        f"options root=UUID={OLD} ro console=ttyS0 $tuned_params\n",
        "title Amazon Linux\nlinux /boot/vmlinuz-6.1\ninitrd /boot/initramfs-6.1.img\n"
        f"options root=UUID={ROOT} ro console=ttyS0 $tuned_params\n",
    ),
    "an entry of variables stays": (ENTRY, "options $kernelopts\n", "options $kernelopts\n"),
    "kernel command line without a line's end": (
        LINE,
        "root=/dev/vda1 ro quiet",
        f"root=UUID={ROOT} ro quiet",
    ),
    "extlinux": (
        SYSLINUX,
        "LABEL linux\n  LINUX /boot/vmlinuz-6.1\n  APPEND root=/dev/sda1 ro\n",
        f"LABEL linux\n  LINUX /boot/vmlinuz-6.1\n  APPEND root=UUID={ROOT} ro\n",
    ),
    "PV-GRUB of old Amazon Linux": (
        LEGACY,
        "default=0\ntimeout=0\ntitle Amazon Linux\nroot (hd0,0)\n"
        "kernel /boot/vmlinuz-6.1 root=LABEL=/ console=hvc0\ninitrd /boot/initramfs-6.1.img\n",
        "default=0\ntimeout=0\ntitle Amazon Linux\nroot (hd0)\n"
        f"kernel /boot/vmlinuz-6.1 root=UUID={ROOT} console=hvc0\n"
        "initrd /boot/initramfs-6.1.img\n",
    ),
    "what means no disk of ours": (
        GRUB,
        "linux /vmlinuz root=/dev/nfs nfsroot=10.0.0.1:/x\nset root='hd0,gpt1'\n",
        "linux /vmlinuz root=/dev/nfs nfsroot=10.0.0.1:/x\nset root='hd0,gpt1'\n",
    ),
    "other systems stay": (
        GRUB,
        "### BEGIN /etc/grub.d/30_os-prober ###\nlinux /x root=/dev/sdb1\n"
        "### END /etc/grub.d/30_os-prober ###\nlinux /x root=/dev/sda1\n",
        "### BEGIN /etc/grub.d/30_os-prober ###\nlinux /x root=/dev/sdb1\n"
        f"### END /etc/grub.d/30_os-prober ###\nlinux /x root=UUID={ROOT}\n",
    ),
}


@pytest.mark.parametrize(("kind", "old", "new"), CASES.values(), ids=list(CASES))
def test_the_root_is_found_and_all_else_stays(kind: BootConfigKind, old: str, new: str) -> None:
    found, notes = rewrite_boot_config(old.encode(), kind, NAMES)
    assert found.decode() == new
    assert bool(notes) is (old != new)
    assert rewrite_boot_config(found, kind, NAMES) == (found, ())


def test_a_kernel_without_initramfs_finds_its_root_by_the_partition() -> None:
    names = BootNames(root_uuid=ROOT, boot_uuid=ROOT, root_partition_uuid=PART)
    found, _ = rewrite_boot_config(b"linux /vmlinuz root=/dev/xvda1 ro\n", GRUB, names)
    assert found == f"linux /vmlinuz root=PARTUUID={PART} ro\n".encode()


def test_an_environment_block_keeps_its_size() -> None:
    head = b"# GRUB Environment Block\n"
    old = (head + b"kernelopts=root=/dev/mapper/a-b ro quiet\n").ljust(1024, b"#")
    new, _ = rewrite_boot_config(old, BootConfigKind.ENVIRONMENT, NAMES)
    assert len(new) == 1024
    assert new.rstrip(b"#") == head + f"kernelopts=root=UUID={ROOT} ro quiet\n".encode()
    full = (head + b"kernelopts=root=/dev/a " + b"x" * 2000)[:1023] + b"\n"
    kept, notes = rewrite_boot_config(full, BootConfigKind.ENVIRONMENT, NAMES)
    assert kept == full
    assert "do not fit" in notes[0]


@pytest.mark.parametrize("kind", BootConfigKind)
def test_rubbish_is_no_failure(kind: BootConfigKind) -> None:
    generator = random.Random(kind.value)
    words = [b"root=", b"/dev/", b"UUID=", b"\0", b"\r\n", b"\xff", b"search -u ", b"(hd0,", b"#"]
    words += [b"\n", b" ", b"kernel ", b"=" * 50, b"rootflags=subvol=", OLD.encode(), b"'", b"$"]
    for _ in range(200):
        data = b"".join(generator.choices(words, k=60))
        new, _ = rewrite_boot_config(data, kind, NAMES)
        assert new.count(b"\n") <= data.count(b"\n")


def test_a_loop_device_is_noticed() -> None:
    assert needs_names(b"search --hint='hostdisk//dev/loop0,gpt1' x\n")
    assert not needs_names(f"search --fs-uuid {ROOT}\n".encode())
