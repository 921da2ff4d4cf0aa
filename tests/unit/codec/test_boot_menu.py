"""Menus for systems that have none."""

from bundler.codec.boot_config import BootNames
from bundler.codec.boot_menu import find_kernels, render_legacy_menu

NAMES = BootNames(
    root_uuid="11111111-2222-4333-8444-555555555555",
    boot_uuid="11111111-2222-4333-8444-555555555555",
    boot_files=frozenset(("initrd.img-6.1.0-10-amd64",)),
)


def test_the_newest_kernel_comes_first_with_its_initramfs() -> None:
    names = (
        *("vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64"),
        *("initrd.img-6.1.0-10-amd64", "vmlinuz-5.10.1.el9", "initramfs-5.10.1.el9.img"),
        *("vmlinuz-6.1.0-10-amd64.old", "config-6.1.0-9-amd64", "System.map-6.1.0-9-amd64"),
        *("grub", "vmlinuz-6.1.0-11-amd64.dpkg-bak", "vmlinuz-$(reboot)", "vmlinuz-a b"),
    )
    found = [(kernel.name, kernel.initramfs) for kernel in find_kernels(names)]
    assert found == [
        ("vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"),
        ("vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64"),
        ("vmlinuz-5.10.1.el9", "initramfs-5.10.1.el9.img"),
    ]


def test_a_menu_for_pv_grub() -> None:
    kernels = find_kernels(("vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"))
    lines = render_legacy_menu(kernels, NAMES, "console=hvc0").decode().splitlines()
    assert "root (hd0)" in [line.strip() for line in lines]
    (kernel,) = (line.split() for line in lines if line.strip().startswith("kernel"))
    assert kernel[1] == "/boot/vmlinuz-6.1.0-10-amd64"
    assert f"root=UUID={NAMES.root_uuid}" in kernel
    assert "console=hvc0" in kernel
