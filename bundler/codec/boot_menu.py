"""Boot menus for systems that have none: of GRUB 2, of extlinux, and of GRUB Legacy for PV-GRUB."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bundler.codec.boot_config import BootNames

MAX_KERNEL_COUNT = 8
"""Most kernels in a menu; our choice."""

MENU_SECONDS = 3
"""How long a menu waits for a key; our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel in /boot."""

    version: str
    name: str
    """Its file's, such as "vmlinuz-6.1.0"."""
    initramfs: str
    """Its initramfs's file; empty: there is none."""


def find_kernels(names: Iterable[str]) -> tuple[Kernel, ...]:
    """The kernels among the files of /boot, the newest first."""
    known = {name for name in names if _NAME.fullmatch(name)}
    found = []
    for name in known:
        match = _KERNEL.fullmatch(name)
        if match is None or name.endswith(_LEFTOVERS):
            continue
        version = match[1]
        candidates = (form.format(version) for form in _INITRAMFS)
        initramfs = next((one for one in candidates if one in known), "")
        found.append(Kernel(version=version, name=name, initramfs=initramfs))
    found.sort(key=lambda kernel: (_version_key(kernel.version), kernel.name), reverse=True)
    return tuple(found[:MAX_KERNEL_COUNT])


def render_grub_menu(kernels: Iterable[Kernel], names: BootNames, arguments: str) -> bytes:
    """A grub.cfg.  Source: GRUB manual, writing full configuration files directly."""
    lines = [
        "set default=0",
        f"set timeout={MENU_SECONDS}",
        f"search --no-floppy --fs-uuid --set=root {names.boot_uuid}",
    ]
    for kernel in kernels:
        lines += [
            f"menuentry 'Linux {kernel.version}' {{",
            f"\tlinux {names.boot_path}/{kernel.name} {_arguments(kernel, names, arguments)}",
        ]
        if kernel.initramfs:
            lines.append(f"\tinitrd {names.boot_path}/{kernel.initramfs}")
        lines.append("}")
    return _text(lines)


def render_extlinux_menu(kernels: Iterable[Kernel], names: BootNames, arguments: str) -> bytes:
    """An extlinux.conf.  Source: syslinux(1), config file."""
    lines = ["DEFAULT linux0", f"TIMEOUT {MENU_SECONDS * 10}", "PROMPT 0"]
    for number, kernel in enumerate(kernels):
        lines += [
            f"LABEL linux{number}",
            f"\tMENU LABEL Linux {kernel.version}",
            f"\tLINUX {names.boot_path}/{kernel.name}",
        ]
        if kernel.initramfs:
            lines.append(f"\tINITRD {names.boot_path}/{kernel.initramfs}")
        lines.append(f"\tAPPEND {_arguments(kernel, names, arguments)}")
    return _text(lines)


def render_legacy_menu(kernels: Iterable[Kernel], names: BootNames, arguments: str) -> bytes:
    """A menu.lst.  Source: EC2 guide, PV-GRUB: enable your own Linux kernels."""
    lines = ["default 0", f"timeout {MENU_SECONDS}"]
    for kernel in kernels:
        lines += [
            "",
            f"title Linux {kernel.version}",
            f"\troot {names.legacy_device}",
            f"\tkernel {names.boot_path}/{kernel.name} {_arguments(kernel, names, arguments)}",
        ]
        if kernel.initramfs:
            lines.append(f"\tinitrd {names.boot_path}/{kernel.initramfs}")
    return _text(lines)


_NAME = re.compile(r"[\w.+~@:-]{1,200}", re.ASCII)
"""Names that mean just themselves in every menu."""
_KERNEL = re.compile(r"(?:vmlinu[xz]|kernel|Image)-(.+)")
_INITRAMFS = ("initrd.img-{}", "initramfs-{}.img", "initramfs-{}", "initrd-{}", "initrd-{}.img")
_LEFTOVERS = (
    ".old",
    ".bak",
    ".dpkg-bak",
    ".dpkg-new",
    ".dpkg-tmp",
    ".rpmsave",
    ".rpmnew",
    ".sig",
    ".hmac",
)


def _arguments(kernel: Kernel, names: BootNames, arguments: str) -> str:
    root = f"root=UUID={names.root_uuid}"
    if not kernel.initramfs and names.root_partition_uuid:
        root = f"root=PARTUUID={names.root_partition_uuid}"
    return f"{root} ro {arguments}".rstrip()


def _version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    pieces = re.findall(r"\d+|[^\d.-]+", version)
    return tuple((1, int(one), "") if one.isdigit() else (0, 0, one) for one in pieces)


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
