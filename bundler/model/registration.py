"""What is asked of EC2 when an AMI is registered."""

import re
from dataclasses import dataclass
from enum import StrEnum

from bundler.errors import UsageError
from bundler.model.device_mapping import DeviceMapping, check_mappings
from bundler.model.image import Architecture, ImageLocation, VirtualizationType, is_text
from bundler.model.resource_tag import Tag


class BootMode(StrEnum):
    """How instances boot (RegisterImage, `BootMode`)."""

    LEGACY_BIOS = "legacy-bios"
    UEFI = "uefi"
    UEFI_PREFERRED = "uefi-preferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Arguments of RegisterImage for an S3-backed AMI; what is empty is not sent.

    Raises:
        UsageError: something breaks EC2's rules for such AMIs.
    """

    location: ImageLocation
    """The manifest in S3."""
    name: str
    description: str = ""
    architecture: Architecture
    virtualization_type: VirtualizationType = VirtualizationType.HVM
    kernel_id: str = ""
    ramdisk_id: str = ""
    root_device_name: str = ""
    mappings: tuple[DeviceMapping, ...] = ()
    """Instance-store volumes alone."""
    has_sriov: bool = False
    """Enhanced networking by the Intel 82599 (`SriovNetSupport`)."""
    has_ena: bool = False
    """Enhanced networking by ENA (`EnaSupport`)."""
    boot_mode: BootMode | None = None
    """None: EC2 decides by the architecture."""
    needs_imds_v2: bool = False
    """Whether instances take no request for metadata without a token (`ImdsSupport`)."""
    tags: tuple[Tag, ...] = ()
    """Of the AMI, from its creation on."""

    def __post_init__(self) -> None:
        check_ami_name(self.name)
        if self.location.is_access_point:
            raise UsageError(
                f"register {self.location.url}: EC2 knows buckets by their names only, got the "
                "ARN of an access point"
            )
        is_hvm = self.virtualization_type is VirtualizationType.HVM
        if is_hvm and (self.kernel_id or self.ramdisk_id):
            raise UsageError(
                "AMI: a kernel or ramdisk is for paravirtual AMIs only, and this one is hvm; "
                "give --virtualization-type paravirtual"
            )
        if not is_hvm and (self.has_sriov or self.has_ena or self.boot_mode):
            raise UsageError(
                "AMI: SR-IOV, ENA and a boot mode are for hvm AMIs only, and this one is "
                "paravirtual; leave them out"
            )
        for words in (self.kernel_id, self.ramdisk_id, self.root_device_name):
            if not is_text(words):
                raise UsageError(f"AMI: expected UTF-8, got {words!r}")
        self._check_mappings()
        check_description(self.description)

    def _check_mappings(self) -> None:
        check_mappings(self.mappings)
        for mapping in self.mappings:
            if mapping.ebs is not None:
                raise UsageError(
                    f"AMI: {mapping.device} is an EBS volume, and EC2 refuses to register "
                    "S3-backed AMIs with any (UnsupportedOperation); give it when an instance is "
                    "launched (ami-bundler ami launch --block-device-mappings)"
                )


MAX_DESCRIPTION_LENGTH = 255
"""Most characters of an AMI's description.  Source: RegisterImage, `Description`."""


def check_description(description: str) -> None:
    """Refuse a description that RegisterImage, CopyImage and CreateImage would refuse.

    Raises:
        UsageError: it is too long, or no text.
    """
    if not is_text(description):
        raise UsageError("AMI description: expected UTF-8")
    if len(description) > MAX_DESCRIPTION_LENGTH:
        raise UsageError(
            f"AMI description: expected at most {MAX_DESCRIPTION_LENGTH} characters, "
            f"got {len(description)}"
        )


def check_ami_name(name: str) -> None:
    """Refuse a name that RegisterImage (`Name`) would refuse.

    Raises:
        UsageError: not 3 to 128 letters, digits, blanks or ``()[]./-'@_``.
    """
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", name):
        raise UsageError(
            f"AMI name {name!r}: expected 3 to 128 letters, digits, blanks or ()[]./-'@_"
        )
