"""What is asked of EC2 when an AMI is registered."""

import re
from dataclasses import dataclass

from bundler.errors import UsageError
from bundler.model.image import Architecture, ImageLocation, VirtualizationType, is_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Arguments of RegisterImage for an S3-backed AMI; empty texts are not sent.

    Raises:
        UsageError: the name or description breaks EC2's rules.
    """

    location: ImageLocation
    """The manifest in S3."""
    name: str
    description: str = ""
    architecture: Architecture
    virtualization_type: VirtualizationType = VirtualizationType.HVM
    kernel_id: str = ""
    ramdisk_id: str = ""

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
        if not is_text(self.description):
            raise UsageError("AMI description: expected UTF-8")
        if len(self.description) > MAX_DESCRIPTION_LENGTH:
            raise UsageError(
                f"AMI description: expected at most {MAX_DESCRIPTION_LENGTH} characters, "
                f"got {len(self.description)}"
            )


MAX_DESCRIPTION_LENGTH = 255
"""Most characters of an AMI's description.  Source: RegisterImage, `Description`."""


def check_ami_name(name: str) -> None:
    """Refuse a name that RegisterImage (`Name`) would refuse.

    Raises:
        UsageError: not 3 to 128 letters, digits, blanks or ``()[]./-'@_``.
    """
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./'@_-]{3,128}", name):
        raise UsageError(
            f"AMI name {name!r}: expected 3 to 128 letters, digits, blanks or ()[]./-'@_"
        )
