"""Boot loaders that a volume has, and those that can be put into an image of it."""

from dataclasses import dataclass
from enum import StrEnum


class BootLoader(StrEnum):
    """Kinds of boot loaders."""

    GRUB2 = "grub2"
    EXTLINUX = "extlinux"
    GRUB_LEGACY = "grub-legacy"
    NONE = "none"


class GrubPlatform(StrEnum):
    """What GRUB 2 is built for, by its own words; the same as its directories' names."""

    BIOS = "i386-pc"
    EFI_X86_64 = "x86_64-efi"
    EFI_ARM64 = "arm64-efi"

    @property
    def removable_name(self) -> str:
        """The file in EFI/BOOT that firmware starts by itself.  Source: UEFI, 3.5.1.1."""
        return {"x86_64-efi": "BOOTX64.EFI", "arm64-efi": "BOOTAA64.EFI"}.get(self, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootLoaders:
    """What a volume has to be booted by; paths are those in the volume."""

    grub_install: str = ""
    """GRUB 2's program, such as "/usr/sbin/grub2-install"; empty: there is none."""
    grub_mkimage: str = ""
    grub_mkconfig: str = ""
    grub_platforms: tuple[GrubPlatform, ...] = ()
    """Those that its modules are there for, in /usr/lib/grub."""
    grub_directory: str = "/boot/grub"
    """Where grub.cfg is, or is to be."""
    has_grub_config: bool = False
    efi_loaders: tuple[str, ...] = ()
    """Files such as "/boot/efi/EFI/BOOT/BOOTX64.EFI": firmware starts them by itself."""
    extlinux: str = ""
    extlinux_config: str = ""
    """Such as "/boot/extlinux/extlinux.conf"; empty: there is none."""
    legacy_config: str = ""
    """GRUB Legacy's or PV-GRUB's, such as "/boot/grub/menu.lst"."""
    legacy_stages: str = ""
    """The directory that has GRUB Legacy's stage1 and stage2; empty: there is none."""
    legacy_shell: str = ""
    """GRUB Legacy's program, "grub"."""
