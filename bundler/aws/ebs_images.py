"""EBS-backed AMIs from snapshots, and what S3-backed ones tell for it."""

from typing import TYPE_CHECKING, Final

from bundler.aws.ec2 import request_for_any
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.ebs_registration import EbsAmi, EbsRegistration, OldAmi
from bundler.model.mapping import BlockDeviceMapping

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        BlockDeviceMappingTypeDef,
        FilterTypeDef,
        ImageTypeDef,
        LaunchPermissionTypeDef,
        RegisterImageRequestTypeDef,
    )

VOLUME_TYPE: Final = "gp3"
"""Of the root volume; EC2's own default, gp2, costs more.  Source: EbsBlockDevice, `VolumeType`."""


class EbsImageRegistry:
    """The EbsRegistry of workflow/snapshot_ports.py, by EC2."""

    def __init__(self, client: "EC2Client", transport: Transport) -> None:
        self._client = client
        self._transport = transport

    def register(self, registration: EbsRegistration, snapshot_id: str) -> str:
        """RegisterImage; the AMI's id.

        A name that an AMI of this very snapshot has is a success: an earlier request, whose
        reply was lost, has made it.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        request = _request(registration, snapshot_id)
        try:
            return self._transport.call(
                f"register snapshot {snapshot_id} as AMI {registration.name!r}",
                lambda: self._client.register_image(**request)["ImageId"],
            )
        except AwsRefusedError as error:
            found = None
            if error.code == "InvalidAMIName.Duplicate":
                found = self.find(registration.name)
            if found is None or snapshot_id not in found.snapshot_ids:
                raise
            return found.image_id

    def find(self, name: str) -> EbsAmi | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        filters: list[FilterTypeDef] = [{"Name": "name", "Values": [name]}]
        images = self._transport.call(
            f"look for an AMI named {name!r}",
            lambda: self._client.describe_images(Owners=["self"], Filters=filters)["Images"],
        )
        if not images:
            return None
        mappings = images[0].get("BlockDeviceMappings", [])
        ids = (mapping.get("Ebs", {}).get("SnapshotId", "") for mapping in mappings)
        return EbsAmi(image_id=images[0]["ImageId"], snapshot_ids=frozenset(filter(None, ids)))

    def describe_old(self, image_id: str) -> OldAmi:
        """DescribeImages of an S3-backed AMI.

        Raises:
            UsageError: it is not S3-backed.
            AwsRefusedError: EC2 refused, or knows no such AMI.
            TransferError: EC2 could not be reached.
        """
        subject = f"describe AMI {image_id}"
        images = self._transport.call(
            subject, lambda: self._client.describe_images(ImageIds=[image_id])["Images"]
        )
        if not images:
            raise AwsRefusedError(f"{subject}: EC2 knows no such AMI", code="InvalidAMIID.NotFound")
        kind = images[0].get("RootDeviceType", "")
        if kind == "ebs":
            raise UsageError(
                f"convert {image_id}: expected an S3-backed AMI, got an EBS-backed one"
            )
        return _old_ami(images[0])

    def copy_permissions(self, source_id: str, image_id: str) -> int:
        """Give an AMI the launch permissions of another one; their number.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        permissions: list[LaunchPermissionTypeDef] = self._transport.call(
            f"read the launch permissions of AMI {source_id}",
            lambda: self._client.describe_image_attribute(
                ImageId=source_id, Attribute="launchPermission"
            )["LaunchPermissions"],
        )
        if permissions:
            self._transport.call(
                f"add launch permissions to AMI {image_id}",
                lambda: self._client.modify_image_attribute(
                    ImageId=image_id, LaunchPermission={"Add": permissions}
                ),
            )
        return len(permissions)


def _request(registration: EbsRegistration, snapshot_id: str) -> "RegisterImageRequestTypeDef":
    mappings: list[BlockDeviceMappingTypeDef] = [
        {
            "DeviceName": registration.root_device_name,
            "Ebs": {
                "SnapshotId": snapshot_id,
                "DeleteOnTermination": True,
                "VolumeType": VOLUME_TYPE,
            },
        }
    ]
    for mapping in registration.ephemeral_mappings:
        mappings.append({"DeviceName": mapping.device, "VirtualName": mapping.virtual})
    request: RegisterImageRequestTypeDef = {
        **request_for_any(registration),
        "BlockDeviceMappings": mappings,
    }
    if registration.is_ena_supported:
        request["EnaSupport"] = True
    return request


def _old_ami(image: "ImageTypeDef") -> OldAmi:
    ephemeral = (
        BlockDeviceMapping(virtual=mapping["VirtualName"], device=mapping["DeviceName"])
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("VirtualName", "").startswith("ephemeral")
    )
    return OldAmi(
        image_id=image["ImageId"],
        location=image.get("ImageLocation", "").strip("/"),
        architecture=image.get("Architecture", ""),
        virtualization_type=image.get("VirtualizationType", ""),
        description=image.get("Description", ""),
        kernel_id=image.get("KernelId", ""),
        ramdisk_id=image.get("RamdiskId", ""),
        root_device_name=image.get("RootDeviceName", ""),
        ephemeral_mappings=tuple(ephemeral),
        is_ena_supported=image.get("EnaSupport", False),
        tags=tuple(
            (tag["Key"], tag["Value"])
            for tag in image.get("Tags", [])
            if not tag["Key"].startswith("aws:")
        ),
    )
