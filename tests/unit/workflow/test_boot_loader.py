"""Boot loaders that a volume has."""

from pathlib import Path

import pytest

from bundler.errors import MissingError
from bundler.model.boot_loader import BootLoader
from bundler.model.disk import Disk, Firmware, Partition, PartitionRole
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.workflow.boot_loader import (
    bios_loader,
    find_boot_loaders,
    firmwares,
    install_boot_loader,
)
from bundler.workflow.mounted_image import MountedImage

UUID = "11111111-2222-4333-8444-555555555555"
DEBIAN = ("usr/sbin/grub-install", "usr/bin/grub-mkimage", "usr/sbin/grub-mkconfig")
BIOS, EFI = "usr/lib/grub/i386-pc/modinfo.sh", "usr/lib/grub/x86_64-efi/modinfo.sh"
RED_HAT = ("usr/sbin/grub2-install", "usr/bin/grub2-mkimage", "boot/grub2/grub.cfg")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("names", "loader", "expected"),
    [
        ((), BootLoader.NONE, ()),
        ((*DEBIAN, BIOS), BootLoader.GRUB2, (Firmware.BIOS,)),
        ((*DEBIAN, EFI), BootLoader.NONE, (Firmware.UEFI,)),
        ((*DEBIAN, BIOS, EFI, "boot/grub/grub.cfg"), BootLoader.GRUB2, tuple(Firmware)),
        ((*RED_HAT, BIOS), BootLoader.GRUB2, (Firmware.BIOS,)),
        (("boot/efi/EFI/BOOT/BOOTX64.EFI",), BootLoader.NONE, (Firmware.UEFI,)),
        (
            ("usr/bin/extlinux", "boot/extlinux/extlinux.conf", *DEBIAN, BIOS),
            BootLoader.EXTLINUX,
            (Firmware.BIOS,),
        ),
        (
            ("boot/grub/stage1", "boot/grub/stage2", "boot/grub/menu.lst"),
            BootLoader.GRUB_LEGACY,
            (Firmware.BIOS,),
        ),
    ],
)
def test_what_a_volume_has(
    tmp_path: Path, names: tuple[str, ...], loader: BootLoader, expected: tuple[Firmware, ...]
) -> None:
    loaders = find_boot_loaders(make(tmp_path, *names))
    assert bios_loader(loaders) is loader
    assert firmwares(loaders) == expected


def image_of(root: Path, scheme: PartitionScheme | None) -> MountedImage:
    partition = Partition(
        number=1 if scheme else 0,
        role=PartitionRole.ROOT,
        offset=0,
        size=1 << 30,
        mount_point="/",
        file_system=FileSystem(type=FileSystemType.EXT4, uuid=UUID),
    )
    disk = Disk(size=1 << 30, scheme=scheme, id="", partitions=(partition,))
    device = Path("/dev/null")
    return MountedImage(root=root, disk=disk, device=device, partition_devices={"/": device})


def test_a_bare_file_system_gets_a_menu_for_pv_grub(tmp_path: Path) -> None:
    root = make(tmp_path, "boot/vmlinuz-6.1", "boot/initrd.img-6.1", "etc/default/grub")
    (root / "etc/default/grub").write_text('GRUB_CMDLINE_LINUX="root=/dev/xvda1"\n')
    loaders = find_boot_loaders(root)
    notes = install_boot_loader(image_of(root, None), loaders)
    assert any("menu.lst" in note for note in notes)
    assert f"root=UUID={UUID}" in (root / "boot/grub/menu.lst").read_text()
    assert (root / "etc/default/grub").read_text() == f'GRUB_CMDLINE_LINUX="root=UUID={UUID}"\n'


def test_a_partitioned_disk_needs_a_boot_loader(tmp_path: Path) -> None:
    root = make(tmp_path, "boot/vmlinuz-6.1")
    image, loaders = image_of(root, PartitionScheme.MBR), find_boot_loaders(root)
    with pytest.raises(MissingError, match="none for a BIOS; install grub-pc-bin"):
        install_boot_loader(image, loaders)
    assert install_boot_loader(image, loaders, bios=BootLoader.NONE) == ()
