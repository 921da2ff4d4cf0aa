"""extlinux, GRUB Legacy, and the menu that PV-GRUB reads in a bare file system."""

import os

from bundler.codec.boot_menu import find_kernels, render_extlinux_menu, render_legacy_menu
from bundler.errors import InputError, MissingError
from bundler.host.files import os_errors
from bundler.host.run import find_program, run
from bundler.model.boot_loader import BootLoaders
from bundler.model.partition_table import PartitionScheme
from bundler.workflow.boot_files import LEGACY_CONFIGS, BootedImage

BOOT_CODE_SIZE = 440
"""Bytes of an MBR before the disk's signature and the partition table."""

_BOOT_CODE_DIRECTORIES = (
    "/usr/lib/EXTLINUX",
    "/usr/lib/syslinux/mbr",
    "/usr/share/syslinux",
    "/usr/lib/syslinux/bios",
    "/usr/lib/syslinux",
)
_PV_ARGUMENTS = ("console=hvc0",)
"""Where a paravirtual instance's console is.  Source: EC2 guide, PV-GRUB."""


def install_extlinux(
    booted: BootedImage, loaders: BootLoaders, arguments: tuple[str, ...]
) -> tuple[str, ...]:
    """Put extlinux into /boot's file system, and the code that starts it in front of the disk.

    Raises:
        MissingError: the volume has no mbr.bin or gptmbr.bin, or no kernel for a new menu.
        HostError: extlinux failed, or something cannot be written.
    """
    config = loaders.extlinux_config or "/boot/extlinux/extlinux.conf"
    directory = config.rpartition("/")[0] or "/"
    notes = [f"extlinux: installed by the volume's own {loaders.extlinux}"]
    if not loaders.extlinux_config:
        kernels = find_kernels(booted.names.boot_files)
        if not kernels:
            raise MissingError(f"make {config} of the image: expected a kernel in /boot, got none")
        booted.files.make_directory(directory)
        menu = render_extlinux_menu(kernels, booted.names, " ".join(arguments))
        booted.files.write(config, menu)
        notes.append(f"{config}: made here; it boots Linux {kernels[0].version}")
    booted.run(loaders.extlinux, "--install", directory)
    _write_boot_code(booted, _boot_code(booted))
    return tuple(notes)


def install_legacy(booted: BootedImage, loaders: BootLoaders) -> tuple[str, ...]:
    """Refuse: GRUB Legacy cannot be installed here.

    Raises:
        InputError: always.
    """
    del booted
    raise InputError(
        f"install GRUB Legacy, which the volume boots by ({loaders.legacy_config}): it cannot be "
        "put into a disk here; make a bare file system for PV-GRUB (--partition none), or install "
        "GRUB 2 or extlinux in the volume"
    )


def make_pv_menu(booted: BootedImage, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Write the menu that PV-GRUB reads, if the volume has a kernel and no menu.

    Raises:
        HostError: it cannot be written.
    """
    path = LEGACY_CONFIGS[0]
    if any(map(booted.files.is_file, LEGACY_CONFIGS)):
        return ()
    kernels = find_kernels(booted.names.boot_files)
    if not kernels:
        return ("no kernel in /boot: the image needs a kernel from outside (--kernel)",)
    booted.files.make_directory("/boot/grub")
    menu = render_legacy_menu(kernels, booted.names, " ".join((*_PV_ARGUMENTS, *arguments)))
    booted.files.write(path, menu)
    return (f"{path}: made here for PV-GRUB; it boots Linux {kernels[0].version}",)


def _boot_code(booted: BootedImage) -> bytes:
    """The volume's code for the disk's first sector."""
    name = "gptmbr.bin" if booted.image.disk.scheme is PartitionScheme.GPT else "mbr.bin"
    for directory in _BOOT_CODE_DIRECTORIES:
        code = booted.files.read(f"{directory}/{name}", BOOT_CODE_SIZE)
        if code:
            return code
    raise MissingError(
        f"install extlinux: the volume has no {name}; install syslinux-common and extlinux "
        "(Debian) or syslinux-nonlinux (Fedora) in it"
    )


def _write_boot_code(booted: BootedImage, code: bytes) -> None:
    """Write it, and mark the partition that it starts."""
    device, partition = booted.image.device, booted.boot_partition
    sfdisk = find_program("sfdisk", package="fdisk or util-linux")
    quiet = ("--quiet", "--no-reread", "--no-tell-kernel")
    if booted.image.disk.scheme is PartitionScheme.GPT:
        how: tuple[str, ...] = (
            "--part-attrs",
            str(device),
            str(partition.number),
            "LegacyBIOSBootable",
        )
    else:
        how = ("--activate", str(device), str(partition.number))
    run((sfdisk, *quiet, *how))
    with os_errors("write boot code to", device):
        descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, code, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
