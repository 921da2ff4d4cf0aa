"""What UEFI firmware starts: the ESP's own loader where that works, else GRUB 2, made anew.

grub-install cannot be used for it: it insists on a mounted vfat file system.  Sources: UEFI
specification, 3.5.1.1 removable media boot behaviour; grub-mkimage(1).
"""

import re

from bundler.codec.boot_config import BootNames
from bundler.errors import InputError, MissingError
from bundler.host.rooted_files import RootedFiles
from bundler.model.boot_loader import BootLoaders, GrubPlatform
from bundler.model.bundle import MIB
from bundler.workflow.boot_files import BootedImage
from bundler.workflow.grub import file_system_module, make_grub_menu

NO_EFI_LOADER = (
    "install a boot loader for UEFI: the volume has none that works, and no GRUB 2 to make one; "
    "install grub-efi-amd64-bin (Debian) or grub2-efi-x64-modules and grub2-tools (Fedora, Amazon "
    "Linux) in it, or ask for a BIOS"
)
"""Why an image cannot be made to boot under UEFI."""

MAX_LOADER_SIZE = 16 * MIB
"""Most bytes of an EFI program that is looked at; our choice."""

_ESP_DIRECTORIES = ("/boot/efi", "/efi", "/boot")
_PLATFORMS = (GrubPlatform.EFI_X86_64, GrubPlatform.EFI_ARM64)
_FIRST_DIRECTORIES = ("EFI", "BOOT")
_SEARCHED = re.compile(rb"(?:search\.fs_uuid|--set=root) ([0-9A-Fa-f-]{9,36})")
"""In GRUB's own embedded configuration, which is plain text."""
_OTHER_LOADERS = {
    b"UEFI SHIM": "shim",
    b"systemd-boot": "systemd-boot",
}
"""What starts what lies beside it on the ESP, by words in the program."""

_MODULES = (
    "all_video blscfg boot cat chain configfile echo efi_gop efi_uga efifwsetup font fat "
    "gfxmenu gfxterm gzio halt increment keystatus linux linuxefi loadenv loopback ls "
    "lzopio minicmd normal part_gpt part_msdos probe reboot regexp search search_fs_file "
    "search_fs_uuid search_label serial sleep terminal terminfo test tpm true video xzio "
    "zstd"
)
"""Those of them that there are; others are loaded from /boot when they are asked for."""


def find_removable_loaders(files: RootedFiles) -> tuple[str, ...]:
    """What firmware starts without being told, on an ESP where those are mounted.

    Raises:
        HostError: a directory cannot be read.
    """
    places = ((esp, platform) for esp in _ESP_DIRECTORIES for platform in _PLATFORMS)
    paths = (
        _fold_path(files, esp, (*_FIRST_DIRECTORIES, one.removable_name)) for esp, one in places
    )
    return tuple(path for path in paths if files.is_file(path))


def install_efi(
    booted: BootedImage, loaders: BootLoaders, arguments: tuple[str, ...]
) -> tuple[str, ...]:
    """Make sure that EFI/BOOT has what boots the image; notes for the report.

    The distribution's own loaders stay where they are.

    Raises:
        MissingError: the volume has neither an ESP that works nor GRUB 2's modules for EFI.
        HostError: a program failed, or a file cannot be written.
    """
    platforms = [one for one in _PLATFORMS if one in loaders.grub_platforms]
    platforms += [one for one in _PLATFORMS if one not in platforms]
    for platform in platforms:
        path = _removable_path(booted, platform)
        kind = _working_loader(booted, path)
        if kind:
            told = f"{path}: kept: {kind}"
            # systemd-boot has its own menu.
            menu = make_grub_menu(booted, loaders, arguments) if "GRUB" in kind else ()
            return (told, *menu)
    platform = platforms[0]
    if platform not in loaders.grub_platforms or not loaders.grub_mkimage:
        raise MissingError(NO_EFI_LOADER)
    told = _make_grub(booted, loaders, platform)
    return (told, *make_grub_menu(booted, loaders, arguments))


def render_embedded_config(names: BootNames, directory: str) -> bytes:
    """What GRUB does first: find /boot and go on there; `directory` is "grub" or "grub2"."""
    return (
        f"search --no-floppy --fs-uuid --set=root {names.boot_uuid}\n"
        f"set prefix=($root){names.boot_path}/{directory}\n"
    ).encode()


def _make_grub(booted: BootedImage, loaders: BootLoaders, platform: GrubPlatform) -> str:
    modules = f"/usr/lib/grub/{platform}"
    own = f"{loaders.grub_directory}/{platform}"
    if not booted.files.is_file(f"{own}/normal.mod"):
        booted.files.make_directory(loaders.grub_directory)
        booted.run("cp", "-R", modules, f"{loaders.grub_directory}/")
    directory = loaders.grub_directory.rpartition("/")[2]
    config = f"{own}/load.cfg"
    booted.files.write(config, render_embedded_config(booted.names, directory))
    there = set(booted.files.names(modules))
    wanted = dict.fromkeys((*_MODULES.split(), file_system_module(booted)))
    path = _removable_path(booted, platform)
    was_there = booted.files.is_file(path)
    booted.files.make_directory(path.rpartition("/")[0])
    booted.run(
        loaders.grub_mkimage,
        f"--format={platform}",
        f"--output={path}",
        f"--prefix={booted.names.boot_path}/{directory}",
        f"--config={config}",
        *(one for one in wanted if f"{one}.mod" in there),
    )
    how = "replaced, as it did not find this disk's /boot," if was_there else "made"
    return f"{path}: GRUB 2 for UEFI, {how} by the volume's own {loaders.grub_mkimage}"


def _removable_path(booted: BootedImage, platform: GrubPlatform) -> str:
    names = (*_FIRST_DIRECTORIES, platform.removable_name)
    return _fold_path(booted.files, booted.esp, names)


def _working_loader(booted: BootedImage, path: str) -> str:
    """What the loader is, if it finds its way on the image's disk; else empty."""
    try:
        data = booted.files.read(path, MAX_LOADER_SIZE)
    except InputError:
        return "not looked at, as it is too large"
    if data is None:
        return ""
    for mark, kind in _OTHER_LOADERS.items():
        if mark in data:
            return f"{kind}, which starts GRUB" if kind == "shim" else kind
    searched = {one.decode().lower() for one in _SEARCHED.findall(data)}
    if searched:
        finds = booted.names.boot_uuid.lower() in searched
        return "GRUB, which finds /boot by its UUID" if finds else ""
    return "GRUB, which reads the ESP's grub.cfg" if _has_stub(booted) else ""


def _has_stub(booted: BootedImage) -> bool:
    """Whether the ESP has a configuration of GRUB, which rewrite_configs() has in its care."""
    above = _fold_path(booted.files, booted.esp, _FIRST_DIRECTORIES[:1])
    names = booted.files.names(above)
    return any(booted.files.is_file(f"{above}/{name}/grub.cfg") for name in names)


def _fold_path(files: RootedFiles, directory: str, names: tuple[str, ...]) -> str:
    """The path as it is spelled there: names on the ESP have no case."""
    for name in names:
        spelled = (one for one in files.names(directory) if one.lower() == name.lower())
        directory = f"{directory}/{next(spelled, name)}"
    return directory
