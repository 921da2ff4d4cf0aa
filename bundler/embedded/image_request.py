"""What EC2 asks of RegisterImage's parameters, apart from the bundle itself.

Where EC2's documentation and public reports give no code for a refusal, the code here is our
reading of it: InvalidParameterCombination, InvalidParameterValue.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bundler.errors import AwsRefusedError

Arguments = Mapping[str, Any]
"""Parameters as moto reads them by the service's model, which checks their types."""

NAME_PATTERN = r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}"
"""Source: RegisterImage, `Name`."""

_CHOICES = {
    "Architecture": ("i386", "x86_64", "arm64", "x86_64_mac", "arm64_mac"),
    "VirtualizationType": ("hvm", "paravirtual"),
    "BootMode": ("legacy-bios", "uefi", "uefi-preferred"),
    "ImdsSupport": ("v2.0",),
    "SriovNetSupport": ("simple",),
}
_FORMS = {
    "KernelId": ("InvalidKernelId.Malformed", r"aki-[0-9a-f]+"),
    "RamdiskId": ("InvalidRamdiskId.Malformed", r"ari-[0-9a-f]+"),
}
_ONLY_HVM = ("SriovNetSupport", "EnaSupport", "BootMode")
_EPHEMERAL = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")


def check_name(name: str) -> None:
    """Check an AMI's name.

    Raises:
        AwsRefusedError: it has other characters, or too few or many.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise AwsRefusedError(
            "AMI names must be between 3 and 128 characters long, and may contain letters, "
            "numbers, '(', ')', '.', '-', '/' and '_'",
            code="InvalidAMIName.Malformed",
        )


def check_image_request(arguments: Arguments) -> None:
    """Check the parameters by themselves; an S3-backed image is one with an ImageLocation.

    Raises:
        AwsRefusedError: with EC2's code.
    """
    check_name(arguments["Name"])
    for name, choices in _CHOICES.items():
        if name in arguments and arguments[name] not in choices:
            raise _refused("InvalidParameterValue", f"{name}: {arguments[name]!r} is not known")
    for name, (code, pattern) in _FORMS.items():
        if name in arguments and not re.fullmatch(pattern, arguments[name]):
            raise _refused(code, f"Invalid id: {arguments[name]!r}")
    is_hvm = arguments.get("VirtualizationType") == "hvm"
    for name in _FORMS if is_hvm else _ONLY_HVM:
        if arguments.get(name):
            kind = "hvm" if is_hvm else "paravirtual"
            raise _refused(
                "InvalidParameterCombination", f"{name} cannot be given for a {kind} image"
            )
    mappings: Sequence[Arguments] = arguments.get("BlockDeviceMappings", ())
    if "ImageLocation" in arguments:
        check_ephemeral(mappings)
    else:
        _check_root(arguments, mappings)
    image_tags(arguments)


def check_ephemeral(mappings: Sequence[Arguments]) -> None:
    """Check the mappings of an S3-backed image: instance store volumes, or none at all.

    Raises:
        AwsRefusedError: an EBS volume, a device twice, or a name that no volume has.
    """
    _check_devices(mappings)
    for mapping in mappings:
        if "Ebs" in mapping:
            raise _refused(
                "UnsupportedOperation",
                "EBS block device mappings not supported for instance-store AMIs",
            )
        if "NoDevice" not in mapping and not _EPHEMERAL.fullmatch(mapping.get("VirtualName", "")):
            raise _refused(
                "InvalidBlockDeviceMapping",
                f"Invalid virtual name {mapping.get('VirtualName', '')!r}",
            )


def image_tags(arguments: Arguments, kind: str = "image") -> dict[str, str]:
    """The tags that one kind of the resources that are made shall have.

    Raises:
        AwsRefusedError: tags for what is not made.
    """
    tags: dict[str, str] = {}
    for specification in arguments.get("TagSpecifications", ()):
        resource = specification.get("ResourceType", "")
        if resource not in ("image", "snapshot"):
            raise _refused(
                "InvalidParameterValue",
                f"'{resource}' is not a valid taggable resource type for this operation.",
            )
        if resource == kind:
            tags |= {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags", ())}
    return tags


def _check_root(arguments: Arguments, mappings: Sequence[Arguments]) -> None:
    """An EBS-backed image has a root volume that comes from a snapshot."""
    _check_devices(mappings)
    with_snapshot = [mapping for mapping in mappings if mapping.get("Ebs", {}).get("SnapshotId")]
    root = arguments.get("RootDeviceName", "")
    if not with_snapshot:
        raise _refused(
            "MissingParameter",
            "The request must contain the parameter imageLocation, or a snapshot of the root",
        )
    if all(mapping["DeviceName"] != root for mapping in with_snapshot):
        raise _refused(
            "InvalidBlockDeviceMapping", f"no snapshot is given for the root device {root!r}"
        )


def _check_devices(mappings: Sequence[Arguments]) -> None:
    devices = [mapping.get("DeviceName", "") for mapping in mappings]
    for device in devices:
        if not device or devices.count(device) > 1:
            raise _refused(
                "InvalidBlockDeviceMapping", f"the device name {device!r} is empty or there twice"
            )


def _refused(code: str, message: str) -> AwsRefusedError:
    return AwsRefusedError(message, code=code)
