"""What changes AMIs: their requests, and what must be known of an AMI before."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any

from bundler.aws.ec2 import image_state
from bundler.aws.ec2_api import Ec2Api
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.device_mapping import DeviceMapping
from bundler.model.ec2_call import Ec2Call
from bundler.model.image_change import CopySpec, CreateSpec
from bundler.model.own_image import OwnImage
from bundler.model.resource_tag import Tag

GONE_CODES = frozenset(("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"))
"""Codes of an AMI that EC2 does not know, or does not know any more."""


def find_image(api: Ec2Api, image_id: str) -> OwnImage | None:
    """DescribeImages of one AMI, a disabled one too; None when EC2 does not know it.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    try:
        images = list(
            api.pages(
                "DescribeImages",
                "Images",
                f"describe AMI {image_id}",
                ImageIds=[image_id],
                IncludeDisabled=True,
            )
        )
    except AwsRefusedError as error:
        if error.code in GONE_CODES:
            return None
        raise
    return read_image(images[0]) if images else None


def find_image_from(api: Ec2Api, name: str, instance_id: str) -> OwnImage | None:
    """The AMI of that name that CreateImage has made of that instance, if there is one.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    images = api.pages(
        "DescribeImages",
        "Images",
        f"look for an AMI named {name!r}",
        Owners=["self"],
        Filters=[{"Name": "name", "Values": [name]}],
    )
    found = (read_image(image) for image in images)
    return next((one for one in found if one.source_instance_id == instance_id), None)


def read_image(told: Mapping[str, Any]) -> OwnImage:
    """An AMI in a reply of DescribeImages."""
    devices = told.get("BlockDeviceMappings", [])
    volumes = (item.get("Ebs", {}).get("SnapshotId", "") for item in devices)
    return OwnImage(
        image_id=told["ImageId"],
        name=told.get("Name", ""),
        description=told.get("Description", ""),
        state=image_state(told),
        state_reason=told.get("StateReason", {}).get("Message", ""),
        root_device_type=told.get("RootDeviceType", ""),
        root_device_name=told.get("RootDeviceName", ""),
        location=told.get("ImageLocation", ""),
        architecture=told.get("Architecture", ""),
        virtualization_type=told.get("VirtualizationType", ""),
        kernel_id=told.get("KernelId", ""),
        ramdisk_id=told.get("RamdiskId", ""),
        has_sriov=told.get("SriovNetSupport", "") == "simple",
        has_ena=bool(told.get("EnaSupport")),
        boot_mode=told.get("BootMode", ""),
        needs_imds_v2=told.get("ImdsSupport", "") == "v2.0",
        protection=told.get("DeregistrationProtection", ""),
        source_instance_id=told.get("SourceInstanceId", ""),
        mappings=_read_mappings(devices),
        snapshot_ids=tuple(filter(None, volumes)),
        tags=tuple((tag["Key"], tag.get("Value", "")) for tag in told.get("Tags", [])),
    )


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


def tag_specifications(tags: Sequence[Tag], *kinds: str) -> dict[str, object]:
    """The parameter that tags what is made; none without tags."""
    if not tags:
        return {}
    pairs = [{"Key": key, "Value": value} for key, value in tags]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": pairs} for kind in kinds]}


def copy_call(spec: CopySpec) -> Ec2Call:
    """CopyImage, in the destination.

    The client token stands for all the parameters, so that the same command makes one copy only,
    however often it is run: EC2 answers the second time with the first one's id.
    """
    parameters: dict[str, object] = {
        "Name": spec.name,
        "SourceImageId": spec.image_id,
        "SourceRegion": spec.source_region,
    }
    if spec.description:
        parameters["Description"] = spec.description
    if spec.is_encrypted:
        parameters["Encrypted"] = True
    if spec.kms_key_id:
        parameters["KmsKeyId"] = spec.kms_key_id
    if spec.copies_tags:
        parameters["CopyImageTags"] = True
    kinds = ("image",) if spec.is_s3_backed else ("image", "snapshot")
    parameters |= tag_specifications(spec.tags, *kinds)
    call = Ec2Call(operation="CopyImage", region=spec.region, parameters=parameters)
    token = spec.client_token or sha256(call.describe().encode()).hexdigest()
    return Ec2Call(
        operation=call.operation,
        region=call.region,
        parameters={**parameters, "ClientToken": token},
    )


def create_call(spec: CreateSpec, region: str) -> Ec2Call:
    """CreateImage."""
    parameters: dict[str, object] = {"InstanceId": spec.instance_id, "Name": spec.name}
    if spec.description:
        parameters["Description"] = spec.description
    if spec.no_reboot:
        parameters["NoReboot"] = True
    if spec.mappings:
        parameters["BlockDeviceMappings"] = [one.request() for one in spec.mappings]
    parameters |= tag_specifications(spec.tags, "image", "snapshot")
    return Ec2Call(operation="CreateImage", region=region, parameters=parameters)


def deregister_call(image_id: str, region: str, *, delete_snapshots: bool = False) -> Ec2Call:
    """DeregisterImage."""
    parameters: dict[str, object] = {"ImageId": image_id}
    if delete_snapshots:
        parameters["DeleteAssociatedSnapshots"] = True
    return Ec2Call(operation="DeregisterImage", region=region, parameters=parameters)


def deregister_image(
    api: Ec2Api, image_id: str, *, delete_snapshots: bool = False
) -> dict[str, str]:
    """DeregisterImage; of snapshots that were to go, what EC2 says of each.

    An AMI that is gone is a success: an earlier request, whose reply was lost, has done it.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    call = deregister_call(image_id, api.region, delete_snapshots=delete_snapshots)
    try:
        reply = api.send(call, f"deregister AMI {image_id}")
    except AwsRefusedError as error:
        if error.code in GONE_CODES:
            return {}
        raise
    results = reply.get("DeleteSnapshotResults", ())
    return {item["SnapshotId"]: item.get("ReturnCode", "") for item in results}
