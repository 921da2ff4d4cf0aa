"""Whether this machine is an EC2 instance, by what its firmware and hypervisor say.

Nobody is asked over the network: elsewhere 169.254.169.254 may be anybody.
Source: EC2 user guide, "Detect whether a host is an EC2 instance"; cloud-init, ds-identify.
"""

import re
from contextlib import suppress
from pathlib import Path

SYS = Path("/sys")
"""Where the kernel shows them."""

MAX_WORD_SIZE = 256
"""Most bytes that are read of one of its files; our choice: SMBIOS strings are shorter."""

_FIRMWARE = "devices/virtual/dmi/id"
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8}(?:[0-9a-f]{9})?")
_LITTLE_ENDIAN = re.compile(r"[0-9a-f]{4}2[0-9a-f]ec-")
"""The uuid ec2..., its first four bytes in the order of SMBIOS 2.4."""


def is_ec2_instance(sys: Path = SYS) -> bool:
    """Whether this is an instance of EC2: on Nitro, bare metal or Xen, also in a container."""
    vendor = _word(sys / _FIRMWARE / "sys_vendor")
    if vendor == "amazon ec2" or _word(sys / _FIRMWARE / "bios_version").endswith(".amazon"):
        return True
    if _INSTANCE_ID.fullmatch(_word(sys / _FIRMWARE / "board_asset_tag")):
        return True
    if _word(sys / "hypervisor/uuid").startswith("ec2"):
        return True
    # One in 4096 of all the other machines has such a uuid, but few of them are Xen's.
    return vendor == "xen" and _is_ec2_uuid(_word(sys / _FIRMWARE / "product_uuid"))


def _is_ec2_uuid(uuid: str) -> bool:
    return uuid.startswith("ec2") or _LITTLE_ENDIAN.match(uuid) is not None


def _word(path: Path) -> str:
    """What the kernel says there, in small letters; empty where it says nothing to us."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(MAX_WORD_SIZE).decode(errors="replace").strip().lower()
    return ""
