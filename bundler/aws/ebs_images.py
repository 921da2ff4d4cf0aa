"""EBS-backed AMIs from snapshots, and what S3-backed ones tell for it."""

from typing import TYPE_CHECKING

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_calls import register_snapshot_call
from bundler.aws.images import find_named, read_launch_permissions, require_image
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.ec2_call import Ec2Call

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


class EbsImageRegistry:
    """The EbsRegistry of workflow/snapshot_ports.py, by EC2."""

    def __init__(self, client: "EC2Client", transport: Transport) -> None:
        self._api = Ec2Api(client, transport)

    def register(self, registration: EbsRegistration, snapshot_id: str) -> str:
        """RegisterImage; the AMI's id.

        A name that an AMI of this very snapshot has is a success: an earlier request, whose
        reply was lost, has made it.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        call = register_snapshot_call(registration, snapshot_id, self._api.region)
        subject = f"register snapshot {snapshot_id} as AMI {registration.name!r}"
        try:
            return str(self._api.send(call, subject, "ImageId")["ImageId"])
        except AwsRefusedError as error:
            found = None
            if error.code == "InvalidAMIName.Duplicate":
                found = self.find(registration.name)
            if found is None or snapshot_id not in found.snapshot_ids:
                raise
            return found.image_id

    def find(self, name: str) -> DescribedImage | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        return next(iter(find_named(self._api, name)), None)

    def describe_old(self, image_id: str) -> DescribedImage:
        """DescribeImages of an S3-backed AMI.

        Raises:
            UsageError: it is not S3-backed.
            AwsRefusedError: EC2 refused, or knows no such AMI.
            TransferError: EC2 could not be reached.
        """
        image = require_image(self._api, image_id, "convert")
        if image.root_device_type == "ebs":
            raise UsageError(
                f"convert {image_id}: expected an S3-backed AMI, got an EBS-backed one"
            )
        return image

    def copy_permissions(self, source_id: str, image_id: str) -> int:
        """Give an AMI the launch permissions of another one; their number.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        permissions = read_launch_permissions(self._api, source_id)
        if permissions:
            added = [one.element for one in permissions]
            call = Ec2Call(
                operation="ModifyImageAttribute",
                region=self._api.region,
                parameters={"ImageId": image_id, "LaunchPermission": {"Add": added}},
            )
            self._api.send(call, f"add launch permissions to AMI {image_id}")
        return len(permissions)
