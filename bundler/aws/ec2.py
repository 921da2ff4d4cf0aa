"""Image registry: the AMIs of one region."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError
from bundler.model.device_mapping import DeviceMapping
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import Ami, ImageState
from bundler.model.registration import Registration

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        BlockDeviceMappingTypeDef,
        FilterTypeDef,
        ImageTypeDef,
        RegisterImageRequestTypeDef,
        TagTypeDef,
    )

MAX_PAGE_COUNT = 1000
"""Most AMIs of one reply.  Source: DescribeImages, `MaxResults`."""


class Ec2ImageRegistry:
    """The ImageRegistry of workflow/ports.py, by EC2."""

    def __init__(self, client: "EC2Client", transport: Transport | None = None) -> None:
        self._client = client
        self._transport = transport or Transport()

    def register(self, registration: Registration) -> str:
        """RegisterImage; the AMI's id.

        A name that an AMI of this very manifest has is a success: an earlier request, whose
        reply was lost, has made it.

        Raises:
            AwsRefusedError: EC2 refused; the usual causes are explained.
            TransferError: EC2 could not be reached.
        """
        try:
            return self._transport.call(
                f"register {registration.location.url} as AMI {registration.name!r}",
                lambda: self._client.register_image(**_request(registration))["ImageId"],
            )
        except AwsRefusedError as error:
            if error.code != "InvalidAMIName.Duplicate":
                raise
            for image in self._named(registration.name):
                if image.get("ImageLocation", "").strip("/") == registration.location.path:
                    return image["ImageId"]
            raise

    def describe(self, image_id: str) -> Ami | None:
        """DescribeImages of one AMI; None while EC2 does not know it (yet).

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        try:
            images = self._transport.call(
                f"describe AMI {image_id}",
                lambda: self._client.describe_images(ImageIds=[image_id])["Images"],
            )
        except AwsRefusedError as error:
            if error.code == "InvalidAMIID.NotFound":
                return None
            raise
        return _ami(images[0]) if images else None

    def find(self, name: str) -> Ami | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        images = self._named(name)
        return _ami(images[0]) if images else None

    def list_own(self) -> Iterator[Ami]:
        """DescribeImages: all AMIs of this account, page by page, disabled ones too.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        found = Ec2Api(self._client, self._transport).pages(
            "DescribeImages",
            "Images",
            "list the AMIs of this account",
            Owners=["self"],
            IncludeDisabled=True,
            MaxResults=MAX_PAGE_COUNT,
        )
        return map(_ami, found)

    def _named(self, name: str) -> "list[ImageTypeDef]":
        filters: list[FilterTypeDef] = [{"Name": "name", "Values": [name]}]
        # A disabled AMI keeps its name; one that was just deregistered may be shown for a while.
        images = self._transport.call(
            f"look for an AMI named {name!r}",
            lambda: self._client.describe_images(
                Owners=["self"], Filters=filters, IncludeDisabled=True
            )["Images"],
        )
        return [image for image in images if image_state({**image}) is not ImageState.DEREGISTERED]


def register_call(registration: Registration, region: str) -> Ec2Call:
    """The RegisterImage that Ec2ImageRegistry.register() sends, to be shown or asked about."""
    return Ec2Call(operation="RegisterImage", region=region, parameters={**_request(registration)})


def _request(registration: Registration) -> "RegisterImageRequestTypeDef":
    request: RegisterImageRequestTypeDef = {
        "ImageLocation": registration.location.path,
        **request_for_any(registration),
    }
    if registration.mappings:
        request["BlockDeviceMappings"] = [_mapping(one) for one in registration.mappings]
    if registration.has_sriov:
        request["SriovNetSupport"] = "simple"
    if registration.has_ena:
        request["EnaSupport"] = True
    if registration.boot_mode:
        request["BootMode"] = registration.boot_mode.value
    if registration.needs_imds_v2:
        request["ImdsSupport"] = "v2.0"
    return request


def request_for_any(registration: Registration | EbsRegistration) -> "RegisterImageRequestTypeDef":
    """What RegisterImage is told of every AMI, whatever its root volume is made from."""
    request: RegisterImageRequestTypeDef = {
        "Name": registration.name,
        "Architecture": registration.architecture.value,
        # EC2's own default is paravirtual, whatever the image is.
        "VirtualizationType": registration.virtualization_type.value,
    }
    if registration.description:
        request["Description"] = registration.description
    if registration.kernel_id:
        request["KernelId"] = registration.kernel_id
    if registration.ramdisk_id:
        request["RamdiskId"] = registration.ramdisk_id
    if registration.root_device_name:
        request["RootDeviceName"] = registration.root_device_name
    if registration.tags:
        tags: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in registration.tags]
        request["TagSpecifications"] = [{"ResourceType": "image", "Tags": tags}]
    return request


def _mapping(mapping: DeviceMapping) -> "BlockDeviceMappingTypeDef":
    """An S3-backed AMI's: Registration lets no EBS volume through."""
    if mapping.is_left_out:
        return {"DeviceName": mapping.device, "NoDevice": ""}
    return {"DeviceName": mapping.device, "VirtualName": mapping.virtual}


def _ami(image: Mapping[str, Any]) -> Ami:
    return Ami(
        image_id=image["ImageId"],
        name=image.get("Name", ""),
        state=image_state(image),
        state_reason=image.get("StateReason", {}).get("Message", ""),
        location=image.get("ImageLocation", ""),
    )


def image_state(image: Mapping[str, object]) -> ImageState:
    """The state of an AMI in a reply of DescribeImages."""
    try:
        return ImageState(str(image.get("State", ImageState.PENDING)))
    except ValueError:
        # A state that EC2 has invented since: neither good nor bad, so it is looked at again.
        return ImageState.TRANSIENT
