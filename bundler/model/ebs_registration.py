"""What is asked of EC2 when an EBS-backed AMI is registered."""

from dataclasses import dataclass

from bundler.errors import UsageError
from bundler.model.image import Architecture, VirtualizationType, is_text
from bundler.model.mapping import BlockDeviceMapping
from bundler.model.registration import MAX_DESCRIPTION_LENGTH, check_ami_name
from bundler.model.resource_tag import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class EbsRegistration:
    """Arguments of RegisterImage for an EBS-backed AMI; empty texts are not sent.

    Raises:
        UsageError: the name or description breaks EC2's rules, or a kernel is given for hvm.
    """

    name: str
    description: str = ""
    architecture: Architecture
    virtualization_type: VirtualizationType = VirtualizationType.HVM
    kernel_id: str = ""
    ramdisk_id: str = ""
    root_device_name: str
    """Such as /dev/sda1; the snapshot becomes the volume there."""
    ephemeral_mappings: tuple[BlockDeviceMapping, ...] = ()
    """Instance store volumes besides; devices with /dev/."""
    is_ena_supported: bool = False
    needs_imds_v2: bool = False
    """Whether instance metadata answer requests with a token only (ImdsSupport)."""
    tags: tuple[Tag, ...] = ()

    def __post_init__(self) -> None:
        check_ami_name(self.name)
        is_hvm = self.virtualization_type is VirtualizationType.HVM
        if is_hvm and (self.kernel_id or self.ramdisk_id):
            raise UsageError(
                "AMI: a kernel or ramdisk is for paravirtual AMIs only, and this one is hvm; "
                "give --virtualization-type paravirtual"
            )
        if not is_text(self.description) or len(self.description) > MAX_DESCRIPTION_LENGTH:
            raise UsageError(
                f"AMI description: expected at most {MAX_DESCRIPTION_LENGTH} characters of UTF-8, "
                f"got {len(self.description)}"
            )
        if not self.root_device_name.startswith("/dev/"):
            raise UsageError(
                f"root device {self.root_device_name!r}: expected such as /dev/sda1 or /dev/xvda"
            )
