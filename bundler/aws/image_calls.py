"""Requests that make AMIs, and that end them, as plans show them and as they are sent."""

from dataclasses import replace
from hashlib import sha256

from bundler.aws.ec2_api import Ec2Api
from bundler.errors import AwsRefusedError
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.ec2_call import Ec2Call
from bundler.model.image_change import CopySpec, CreateSpec
from bundler.model.registration import Registration
from bundler.model.resource_tag import tag_specifications

VOLUME_TYPE = "gp3"
"""Of the root volume; EC2's own default, gp2, costs more.  Source: EbsBlockDevice, `VolumeType`."""

_GONE_CODES = frozenset(("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"))
"""Codes of an AMI that EC2 does not know, or does not know any more."""


def register_call(registration: Registration, region: str) -> Ec2Call:
    """RegisterImage of a bundle."""
    parameters = {"ImageLocation": registration.location.path, **_parameters_of_any(registration)}
    if registration.mappings:
        parameters["BlockDeviceMappings"] = [one.request() for one in registration.mappings]
    if registration.has_sriov:
        parameters["SriovNetSupport"] = "simple"
    if registration.has_ena:
        parameters["EnaSupport"] = True
    if registration.boot_mode:
        parameters["BootMode"] = registration.boot_mode.value
    return Ec2Call(operation="RegisterImage", region=region, parameters=parameters)


def register_snapshot_call(registration: EbsRegistration, snapshot_id: str, region: str) -> Ec2Call:
    """RegisterImage of a snapshot."""
    volume = {"SnapshotId": snapshot_id, "DeleteOnTermination": True, "VolumeType": VOLUME_TYPE}
    parameters = _parameters_of_any(registration)
    parameters["BlockDeviceMappings"] = [
        {"DeviceName": registration.root_device_name, "Ebs": volume},
        *(
            {"DeviceName": one.device, "VirtualName": one.virtual}
            for one in registration.ephemeral_mappings
        ),
    ]
    if registration.is_ena_supported:
        parameters["EnaSupport"] = True
    return Ec2Call(operation="RegisterImage", region=region, parameters=parameters)


def _parameters_of_any(registration: Registration | EbsRegistration) -> dict[str, object]:
    """What RegisterImage is told of every AMI, whatever its root volume is made from."""
    parameters: dict[str, object] = {
        "Name": registration.name,
        "Architecture": registration.architecture.value,
        # EC2's own default is paravirtual, whatever the image is.
        "VirtualizationType": registration.virtualization_type.value,
    }
    if registration.description:
        parameters["Description"] = registration.description
    if registration.kernel_id:
        parameters["KernelId"] = registration.kernel_id
    if registration.ramdisk_id:
        parameters["RamdiskId"] = registration.ramdisk_id
    if registration.root_device_name:
        parameters["RootDeviceName"] = registration.root_device_name
    if registration.needs_imds_v2:
        parameters["ImdsSupport"] = "v2.0"
    return parameters | tag_specifications(registration.tags, "image")


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
    return replace(call, parameters={**parameters, "ClientToken": token})


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
        if error.code in _GONE_CODES:
            return {}
        raise
    results = reply.get("DeleteSnapshotResults", ())
    return {item["SnapshotId"]: item.get("ReturnCode", "") for item in results}
