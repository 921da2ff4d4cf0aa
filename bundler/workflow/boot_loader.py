"""Boot loaders: those that a volume has, and an image of it that boots by them."""

from pathlib import Path

from bundler.errors import MissingError
from bundler.host.rooted_files import RootedFiles
from bundler.model.boot_loader import BootLoader, BootLoaders, GrubPlatform
from bundler.model.disk import Disk, Firmware, PartitionRole
from bundler.model.partition_table import PartitionScheme
from bundler.workflow.boot_files import (
    GRUB_DIRECTORIES,
    LEGACY_CONFIGS,
    SYSLINUX_CONFIGS,
    BootedImage,
    open_booted_image,
    rewrite_configs,
)
from bundler.workflow.efi_boot_loader import find_removable_loaders, install_efi
from bundler.workflow.grub import install_grub_bios, make_grub_menu
from bundler.workflow.mounted_image import MountedImage
from bundler.workflow.old_boot_loaders import install_extlinux, install_legacy, make_pv_menu

NO_BIOS_LOADER = (
    "install a boot loader: the volume has none for a BIOS; install grub-pc-bin and grub2-common "
    "(Debian), grub2-pc and grub2-tools (Fedora, Amazon Linux) or extlinux in it, or ask for "
    "--partition none"
)
"""Why an image cannot be made to boot under a BIOS."""

_PROGRAM_DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin")


def find_boot_loaders(root: Path) -> BootLoaders:
    """What a volume has to be booted by; `root` is where its files are seen, /boot's too.

    Raises:
        HostError: it cannot be looked at.
    """
    files = RootedFiles(root=root)
    configs = [one for one in GRUB_DIRECTORIES if files.is_file(f"{one}/grub.cfg")]
    install = _program(files, "grub2-install", "grub-install")
    usual = "/boot/grub2" if install.endswith("grub2-install") else "/boot/grub"
    stages = ("/boot/grub", *(f"/usr/{lib}/grub/{one}" for lib, one in _LEGACY_DIRECTORIES))
    return BootLoaders(
        grub_install=install,
        grub_mkimage=_program(files, "grub2-mkimage", "grub-mkimage"),
        grub_mkconfig=_program(files, "grub2-mkconfig", "grub-mkconfig"),
        grub_platforms=tuple(
            one for one in GrubPlatform if files.is_file(f"/usr/lib/grub/{one}/modinfo.sh")
        ),
        grub_directory=usual if usual in configs or not configs else configs[0],
        has_grub_config=bool(configs),
        efi_loaders=find_removable_loaders(files),
        extlinux=_program(files, "extlinux"),
        extlinux_config=next(filter(files.is_file, SYSLINUX_CONFIGS), ""),
        legacy_config=next(filter(files.is_file, LEGACY_CONFIGS), ""),
        legacy_stages=next(
            (one for one in stages if _has_all(files, one, ("stage1", "stage2"))), ""
        ),
        legacy_shell=_program(files, "grub"),
    )


def firmwares(loaders: BootLoaders) -> tuple[Firmware, ...]:
    """What can start an image of the volume that has a partition table."""
    found = []
    if bios_loader(loaders) is not BootLoader.NONE:
        found.append(Firmware.BIOS)
    platforms = (GrubPlatform.EFI_X86_64, GrubPlatform.EFI_ARM64)
    has_modules = any(one in loaders.grub_platforms for one in platforms)
    if loaders.efi_loaders or (has_modules and loaders.grub_mkimage):
        found.append(Firmware.UEFI)
    return tuple(found)


def bios_loader(loaders: BootLoaders) -> BootLoader:
    """Which boot loader starts the volume under a BIOS: the one that is configured, or could be."""
    has_grub = bool(loaders.grub_install) and GrubPlatform.BIOS in loaders.grub_platforms
    has_legacy = bool(loaders.legacy_stages and loaders.legacy_config)
    if has_grub and loaders.has_grub_config:
        return BootLoader.GRUB2
    if loaders.extlinux and loaders.extlinux_config:
        return BootLoader.EXTLINUX
    if has_legacy:
        return BootLoader.GRUB_LEGACY
    if has_grub:
        return BootLoader.GRUB2
    return BootLoader.EXTLINUX if loaders.extlinux else BootLoader.NONE


def wants_bios(disk: Disk, loader: BootLoader, *, has_esp: bool) -> bool:
    """Whether the disk is one that a BIOS starts; an MBR disk with an ESP is, if it can be."""
    if any(one.role is PartitionRole.BIOS_BOOT for one in disk.partitions) or not has_esp:
        return True
    return disk.scheme is PartitionScheme.MBR and loader is not BootLoader.NONE


def install_boot_loader(
    image: MountedImage,
    loaders: BootLoaders,
    *,
    bios: BootLoader | None = None,
    arguments: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Make an image boot: its boot loader installed, its configuration rewritten for its disk.

    `bios` is the boot loader under a BIOS (None: bios_loader() decides; NONE: none at all, nor
    under UEFI); `arguments` are those of the kernel in menus that are made here, such as
    "console=ttyS0".  Returns notes for the report.

    Raises:
        MissingError: the volume has no boot loader for this disk, or no kernel.
        InputError: a configuration file is none that can be read.
        HostError: a program failed, or a file cannot be written.
    """
    booted = open_booted_image(image)
    if image.disk.scheme is None:
        return (*make_pv_menu(booted, arguments), *rewrite_configs(booted))
    chosen = bios_loader(loaders) if bios is None else bios
    if bios is BootLoader.NONE:
        return rewrite_configs(booted)
    notes: list[str] = []
    if wants_bios(image.disk, chosen, has_esp=bool(booted.esp)):
        notes += _install_bios(booted, loaders, chosen, arguments)
    if booted.esp:
        notes += install_efi(booted, loaders, arguments)
    return (*notes, *rewrite_configs(booted))


_LEGACY_DIRECTORIES = (
    ("lib", "i386-pc"),
    ("lib", "x86_64-pc"),
    ("share", "x86_64-redhat"),
    ("share", "i386-redhat"),
    ("share", "x86_64-unknown"),
)


def _install_bios(
    booted: BootedImage, loaders: BootLoaders, chosen: BootLoader, arguments: tuple[str, ...]
) -> tuple[str, ...]:
    match chosen:
        case BootLoader.GRUB2:
            told = install_grub_bios(booted, loaders)
            return (told, *make_grub_menu(booted, loaders, arguments))
        case BootLoader.EXTLINUX:
            return install_extlinux(booted, loaders, arguments)
        case BootLoader.GRUB_LEGACY:
            return install_legacy(booted, loaders)
        case _:
            raise MissingError(NO_BIOS_LOADER)


def _program(files: RootedFiles, *names: str) -> str:
    paths = (f"{directory}/{name}" for name in names for directory in _PROGRAM_DIRECTORIES)
    return next(filter(files.is_file, paths), "")


def _has_all(files: RootedFiles, directory: str, names: tuple[str, ...]) -> bool:
    return all(files.is_file(f"{directory}/{name}") for name in names)
