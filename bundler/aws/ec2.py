"""Image registry: the AMIs of one region."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bundler.aws.errors import error_code, translated
from bundler.model.image import Ami, ImageState
from bundler.model.registration import Registration

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef, RegisterImageRequestTypeDef


class Ec2ImageRegistry:
    """The ImageRegistry of workflow/ports.py, by EC2."""

    def __init__(self, client: "EC2Client") -> None:
        self._client = client

    def register(self, registration: Registration) -> str:
        """RegisterImage; the AMI's id.

        A request that was sent twice, because the first reply was lost, is refused as a
        duplicate of itself: the AMI that then has the name and the manifest is the answer.

        Raises:
            AwsRefusedError: EC2 refused; the usual causes are explained.
            TransferError: EC2 could not be reached.
        """
        with translated(f"register {registration.location.url} as AMI {registration.name!r}"):
            try:
                return self._client.register_image(**_request(registration))["ImageId"]
            except ClientError as error:
                if image_id := self._registered_before(registration, error):
                    return image_id
                raise

    def describe(self, image_id: str) -> Ami | None:
        """DescribeImages of one AMI; None while EC2 does not know it (yet).

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        with translated(f"describe AMI {image_id}"):
            try:
                images = self._client.describe_images(ImageIds=[image_id])["Images"]
            except ClientError as error:
                if error_code(error) == "InvalidAMIID.NotFound":
                    return None
                raise
        return _ami(images[0]) if images else None

    def find(self, name: str) -> Ami | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        with translated(f"look for an AMI named {name!r}"):
            images = self._named(name)
        return _ami(images[0]) if images else None

    def _named(self, name: str) -> "list[ImageTypeDef]":
        filters: list[FilterTypeDef] = [{"Name": "name", "Values": [name]}]
        return self._client.describe_images(Owners=["self"], Filters=filters)["Images"]

    def _registered_before(self, registration: Registration, error: ClientError) -> str:
        retries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        if error_code(error) != "InvalidAMIName.Duplicate" or not retries:
            return ""
        for image in self._named(registration.name):
            if image.get("ImageLocation", "").strip("/") == registration.location.path:
                return image["ImageId"]
        return ""


def _request(registration: Registration) -> "RegisterImageRequestTypeDef":
    request: RegisterImageRequestTypeDef = {
        "ImageLocation": registration.location.path,
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
    return request


def _ami(image: "ImageTypeDef") -> Ami:
    try:
        state = ImageState(image.get("State", ImageState.PENDING))
    except ValueError:
        # A state that EC2 has invented since: neither good nor bad, so it is looked at again.
        state = ImageState.TRANSIENT
    return Ami(
        image_id=image["ImageId"],
        name=image.get("Name", ""),
        state=state,
        state_reason=image.get("StateReason", {}).get("Message", ""),
        location=image.get("ImageLocation", ""),
    )
