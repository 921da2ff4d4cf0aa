"""AMIs as EC2 describes them, and who may launch them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.errors import translated
from bundler.aws.remedies import REMEDIES
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.described_image import DescribedImage, ImageQuery
from bundler.model.device_mapping import DeviceMapping
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import ImageState
from bundler.model.permission import LaunchPermission, PermissionKind, read_permission

MAX_PAGE_COUNT = 1000
"""Most AMIs of one reply.  Source: DescribeImages, `MaxResults`."""

IMAGE_NOT_FOUND = "InvalidAMIID.NotFound"
"""EC2's code for an AMI that it does not know."""


def find_images(api: Ec2Api, query: ImageQuery) -> Iterator[DescribedImage]:
    """DescribeImages: the AMIs looked for, page by page, in no order.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    request: dict[str, object] = {
        "IncludeDeprecated": "deprecated" in query.includes,
        "IncludeDisabled": "disabled" in query.includes,
        "MaxResults": MAX_PAGE_COUNT,
    }
    if query.owners:
        request["Owners"] = list(query.owners)
    if query.executable_by:
        request["ExecutableUsers"] = list(query.executable_by)
    if query.filters:
        request["Filters"] = [
            {"Name": one.name, "Values": list(one.values)} for one in query.filters
        ]
    found = api.pages("DescribeImages", "Images", "list AMIs", **request)
    return filter(query.matches, map(read_image, found))


def find_image(api: Ec2Api, image_id: str) -> DescribedImage | None:
    """DescribeImages of one AMI, deprecated and disabled ones too; None: EC2 knows it not (yet).

    Raises:
        AwsRefusedError: EC2 refused, or the AMI has gone.
        TransferError: EC2 could not be reached.
    """
    found = api.pages(
        "DescribeImages",
        "Images",
        f"describe AMI {image_id} in {api.region}",
        ImageIds=[image_id],
        IncludeDeprecated=True,
        IncludeDisabled=True,
    )
    try:
        return next(map(read_image, found), None)
    except AwsRefusedError as error:
        if error.code == IMAGE_NOT_FOUND:
            return None
        raise


def require_image(api: Ec2Api, image_id: str, command: str) -> DescribedImage:
    """An AMI that must be there.

    Raises:
        AwsRefusedError: it is not, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    image = find_image(api, image_id)
    if image is None:
        raise AwsRefusedError(
            f"{command} {image_id}: there is no such AMI in {api.region}, or it is not shared "
            f"with this account ({IMAGE_NOT_FOUND}); {REMEDIES[IMAGE_NOT_FOUND]}",
            code=IMAGE_NOT_FOUND,
        )
    return image


def find_named(api: Ec2Api, name: str) -> tuple[DescribedImage, ...]:
    """DescribeImages: the AMIs of this account with that name; there is one at the most.

    A disabled AMI keeps its name; one that was just deregistered may be shown for a while, and
    is left out.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    found = api.pages(
        "DescribeImages",
        "Images",
        f"look for an AMI named {name!r} in {api.region}",
        Owners=["self"],
        Filters=[{"Name": "name", "Values": [name]}],
        IncludeDisabled=True,
    )
    images = map(read_image, found)
    return tuple(one for one in images if one.state is not ImageState.DEREGISTERED)


def find_image_of(api: Ec2Api, name: str, instance_id: str) -> DescribedImage | None:
    """The AMI of that name that CreateImage has made of that instance, if there is one.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    found = find_named(api, name)
    return next((one for one in found if one.source_instance_id == instance_id), None)


def read_launch_permissions(api: Ec2Api, image_id: str) -> tuple[LaunchPermission, ...]:
    """DescribeImageAttribute: who may launch an AMI, besides its owner; in order.

    Raises:
        AwsRefusedError: the AMI is not the caller's, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    call = Ec2Call(
        operation="DescribeImageAttribute",
        region=api.region,
        parameters={"ImageId": image_id, "Attribute": "launchPermission"},
    )
    subject = f"read the launch permissions of AMI {image_id}"
    reply = api.send(call, subject, "LaunchPermissions")
    found = map(read_permission, reply["LaunchPermissions"])
    kinds = list(PermissionKind)
    return tuple(
        sorted((one for one in found if one), key=lambda one: (kinds.index(one.kind), one.who))
    )


@translated("read what EC2 tells of an AMI")
def read_image(told: Mapping[str, Any]) -> DescribedImage:
    """An AMI in a reply of DescribeImages.

    Raises:
        TransferError: it has no id, or a tag no key.
    """
    devices = told.get("BlockDeviceMappings", [])
    volumes = (item.get("Ebs", {}).get("SnapshotId", "") for item in devices)
    return DescribedImage(
        image_id=told["ImageId"],
        name=told.get("Name", ""),
        description=told.get("Description", ""),
        state=_read_state(told),
        state_reason=told.get("StateReason", {}).get("Message", ""),
        owner=told.get("OwnerId", ""),
        owner_alias=told.get("ImageOwnerAlias", ""),
        is_public=told.get("Public", False),
        creation_date=told.get("CreationDate", ""),
        root_device_type=told.get("RootDeviceType", ""),
        root_device_name=told.get("RootDeviceName", ""),
        location=told.get("ImageLocation", ""),
        architecture=told.get("Architecture", ""),
        virtualization_type=told.get("VirtualizationType", ""),
        kernel_id=told.get("KernelId", ""),
        ramdisk_id=told.get("RamdiskId", ""),
        has_sriov=told.get("SriovNetSupport", "") == "simple",
        has_ena=told.get("EnaSupport", False),
        boot_mode=told.get("BootMode", ""),
        needs_imds_v2=told.get("ImdsSupport", "") == "v2.0",
        protection=told.get("DeregistrationProtection", ""),
        source_instance_id=told.get("SourceInstanceId", ""),
        source_image_id=told.get("SourceImageId", ""),
        mappings=_read_mappings(devices),
        snapshot_ids=tuple(filter(None, volumes)),
        tags=tuple((tag["Key"], tag.get("Value", "")) for tag in told.get("Tags", [])),
        facts={name: _plain(value) for name, value in told.items()},
    )


def _read_state(told: Mapping[str, Any]) -> ImageState:
    try:
        return ImageState(told.get("State", ImageState.PENDING))
    except ValueError:
        # A state that EC2 has invented since: neither good nor bad, so it is looked at again.
        return ImageState.TRANSIENT


def _read_mappings(devices: Sequence[dict[str, Any]]) -> tuple[DeviceMapping, ...]:
    """Those that a registration could have; what EC2 says in another way is left out."""
    mappings = []
    for item in devices:
        with suppress(UsageError):
            known = {
                name: item[name] for name in ("DeviceName", "VirtualName", "Ebs") if name in item
            }
            mappings.append(DeviceMapping.from_document(known))
    return tuple(mappings)


def _plain(value: object) -> object:
    """As JSON can say it: times as texts."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
