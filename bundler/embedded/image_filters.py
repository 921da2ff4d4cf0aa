"""DescribeImages: which AMIs a request means."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from moto.ec2.models.amis import Ami
from moto.ec2.utils import format_timestamp

from bundler.errors import AwsRefusedError

_ATTRIBUTES = {
    "architecture": "architecture",
    "boot-mode": "boot_mode",
    "description": "description",
    "ena-support": "ena_support",
    "hypervisor": "hypervisor",
    "image-id": "id",
    "image-type": "image_type",
    "imds-support": "imds_support",
    "is-public": "is_public",
    "kernel-id": "kernel_id",
    "manifest-location": "image_location",
    "name": "name",
    "owner-alias": "owner_alias",
    "owner-id": "owner_id",
    "platform": "platform",
    "ramdisk-id": "ramdisk_id",
    "root-device-name": "root_device_name",
    "root-device-type": "root_device_type",
    "source-image-id": "source_image_id",
    "source-image-region": "source_image_region",
    "source-instance-id": "instance_id",
    "sriov-net-support": "sriov_net_support",
    "state": "state",
    "virtualization-type": "virtualization_type",
}
"""The attribute that a filter looks at.  Source: DescribeImages, `Filters`."""

_VOLUME_ELEMENTS = {
    "delete-on-termination": "DeleteOnTermination",
    "encrypted": "Encrypted",
    "snapshot-id": "SnapshotId",
    "volume-size": "VolumeSize",
    "volume-type": "VolumeType",
}


def matches(ami: Ami, filters: Iterable[Mapping[str, Any]]) -> bool:
    """Whether each filter has a pattern that fits one of the AMI's values.

    Raises:
        AwsRefusedError: EC2 knows no such filter.
    """
    return all(
        any(
            _pattern(pattern).fullmatch(value)
            for value in _values(ami, choice["Name"])
            for pattern in choice.get("Values", ())
        )
        for choice in filters
    )


def is_shown(ami: Ami, arguments: Mapping[str, Any], account: str) -> bool:
    """Whether a list has it: disabled AMIs only on request, and by whom it may be launched."""
    if ami.state == "disabled" and not arguments.get("IncludeDisabled"):
        return False
    users: list[str] = arguments.get("ExecutableUsers", [])
    if not users:
        return True
    if "all" in users and ami.is_public:
        return True
    accounts = {account if user == "self" else user for user in users}
    return any(permission.get("UserId") in accounts for permission in ami.launch_permissions)


def _values(ami: Ami, name: str) -> list[str]:
    tags = {tag["key"]: tag["value"] for tag in ami.get_tags()}
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return [tags[key]] if key in tags else []
    if name == "tag-key":
        return list(tags)
    if name == "creation-date":
        return [str(format_timestamp(ami.creation_date))]
    if name.startswith("block-device-mapping."):
        return _mapping_values(ami, name.partition(".")[2])
    if name not in _ATTRIBUTES:
        raise AwsRefusedError(f"The filter '{name}' is invalid", code="InvalidParameterValue")
    value = getattr(ami, _ATTRIBUTES[name], None)
    return [] if value is None else [_text(value)]


def _mapping_values(ami: Ami, name: str) -> list[str]:
    mappings = ami.block_device_mappings
    if name == "device-name":
        return [mapping["DeviceName"] for mapping in mappings]
    element = _VOLUME_ELEMENTS.get(name, "")
    volumes = (mapping.get("Ebs", {}) for mapping in mappings)
    return [_text(volume[element]) for volume in volumes if element in volume]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pattern(pattern: str) -> re.Pattern[str]:
    """A filter's value: * is any text, ? any character, a backslash takes away its sense."""
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    return re.compile(
        "".join(
            wild.get(piece) or re.escape(piece.removeprefix("\\") or piece) for piece in pieces
        ),
        re.DOTALL,
    )
