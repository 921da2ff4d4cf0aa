"""GRUB 2 for BIOS, and its menu, by the image's own programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.codec.boot_config import needs_names
from bundler.codec.boot_menu import find_kernels, render_grub_menu
from bundler.errors import HostError, MissingError
from bundler.model.boot_loader import BootLoaders, GrubPlatform
from bundler.model.file_system import FileSystemType
from bundler.workflow.boot_files import MAX_CONFIG_SIZE, BootedImage

_FILE_SYSTEM_MODULES = {
    FileSystemType.XFS: "xfs",
    FileSystemType.BTRFS: "btrfs",
    FileSystemType.VFAT: "fat",
}


def file_system_module(booted: BootedImage) -> str:
    """GRUB's module that reads /boot's file system."""
    system = booted.boot_partition.file_system
    return _FILE_SYSTEM_MODULES.get(system.type, "ext2") if system else "ext2"


def install_grub_bios(booted: BootedImage, loaders: BootLoaders) -> str:
    """Put GRUB 2 into the disk's first sectors, or its BIOS boot partition.

    GRUB does not know that /boot's loop device is a part of the disk: it looks for /boot by the
    file system's UUID when it boots, for which it needs the modules that we name.

    Raises:
        MissingError: the image has no grub-install.
        HostError: it failed.
    """
    if not loaders.grub_install:
        raise MissingError(
            "install GRUB: the volume has its modules, but no grub-install or grub2-install; "
            "install the package grub2-common or grub2-tools in it"
        )
    modules = f"part_gpt part_msdos {file_system_module(booted)} biosdisk search search_fs_uuid"
    # It names disks of the source, which grub-install would believe in.
    booted.files.remove(f"{loaders.grub_directory}/device.map")
    with _unlike_loop_devices(booted):
        booted.run(
            loaders.grub_install,
            f"--target={GrubPlatform.BIOS}",
            "--boot-directory=/boot",
            "--no-floppy",
            f"--modules={modules}",
            f"/dev/{booted.image.device.name}",
        )
    return f"GRUB 2 for BIOS: installed by the volume's own {loaders.grub_install}"


def make_grub_menu(
    booted: BootedImage, loaders: BootLoaders, arguments: tuple[str, ...]
) -> tuple[str, ...]:
    """Write grub.cfg if there is none: by grub-mkconfig, or, if that finds no kernel, ourselves.

    Raises:
        MissingError: there is no kernel in /boot.
        HostError: grub.cfg cannot be written.
    """
    path = f"{loaders.grub_directory}/grub.cfg"
    if booted.files.is_file(path):
        return ()
    booted.files.make_directory(loaders.grub_directory)
    if loaders.grub_mkconfig and not arguments:
        problem = _run_mkconfig(booted, loaders, path)
        if not problem:
            return (f"{path}: made by the volume's own {loaders.grub_mkconfig}",)
    else:
        problem = "no grub-mkconfig is used"
    kernels = find_kernels(booted.names.boot_files)
    if not kernels:
        raise MissingError(
            f"make {path} of the image: expected a kernel in /boot, such as vmlinuz-VERSION, "
            "got none"
        )
    menu = render_grub_menu(kernels, booted.names, " ".join(arguments))
    booted.files.write(path, menu)
    return (f"{path}: made here ({problem}); it boots Linux {kernels[0].version}",)


def _run_mkconfig(booted: BootedImage, loaders: BootLoaders, path: str) -> str:
    """Run grub-mkconfig; what is wrong with what it made, empty if it is good."""
    with _unlike_loop_devices(booted):
        try:
            # Other systems would be those of this machine.
            booted.run(loaders.grub_mkconfig, "-o", path, GRUB_DISABLE_OS_PROBER="true")
        except HostError as error:
            return str(error)
    data = booted.files.read(path, MAX_CONFIG_SIZE) or b""
    words = data.split()
    if b"linux" not in words and b"linux16" not in words and b"blscfg" not in words:
        return f"{loaders.grub_mkconfig} found no kernel"
    return "grub-mkconfig named this machine's devices" if needs_names(data) else ""


@contextmanager
def _unlike_loop_devices(booted: BootedImage) -> Iterator[None]:
    """Give the file systems' loop devices other names in the image's /dev, and links from theirs.

    GRUB's 10_linux makes no menu for what is on a loop device, and grub-probe names a device as
    it is behind all links.
    """
    directory = booted.image.root / "dev"
    renamed: list[tuple[Path, Path]] = []
    devices = set(booted.image.partition_devices.values()) - {booted.image.device}
    try:
        for number, device in enumerate(sorted(devices)):
            node, other = directory / device.name, directory / f"image-{number}"
            node.rename(other)
            renamed.append((node, other))
            node.symlink_to(other.name)
        yield
    finally:
        for node, other in renamed:
            node.unlink(missing_ok=True)
            other.rename(node)
