"""Image registry: the AMIs of one region."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_calls import register_call
from bundler.aws.images import MAX_PAGE_COUNT, find_image, find_named, read_image
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError
from bundler.model.described_image import DescribedImage
from bundler.model.image import Ami
from bundler.model.registration import Registration

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


class Ec2ImageRegistry:
    """The ImageRegistry of workflow/ports.py, by EC2."""

    def __init__(self, client: "EC2Client", transport: Transport | None = None) -> None:
        self._api = Ec2Api(client, transport or Transport())

    def register(self, registration: Registration) -> str:
        """RegisterImage; the AMI's id.

        A name that an AMI of this very manifest has is a success: an earlier request, whose
        reply was lost, has made it.

        Raises:
            AwsRefusedError: EC2 refused; the usual causes are explained.
            TransferError: EC2 could not be reached.
        """
        call = register_call(registration, self._api.region)
        subject = f"register {registration.location.url} as AMI {registration.name!r}"
        try:
            return str(self._api.send(call, subject, "ImageId")["ImageId"])
        except AwsRefusedError as error:
            if error.code != "InvalidAMIName.Duplicate":
                raise
            for image in find_named(self._api, registration.name):
                if image.location.strip("/") == registration.location.path:
                    return image.image_id
            raise

    def describe(self, image_id: str) -> Ami | None:
        """DescribeImages of one AMI; None while EC2 does not know it (yet).

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        image = find_image(self._api, image_id)
        return _ami(image) if image else None

    def find(self, name: str) -> Ami | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        return next(map(_ami, find_named(self._api, name)), None)

    def list_own(self) -> Iterator[Ami]:
        """DescribeImages: all AMIs of this account, page by page, disabled ones too.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
        found = self._api.pages(
            "DescribeImages",
            "Images",
            "list the AMIs of this account",
            Owners=["self"],
            IncludeDisabled=True,
            MaxResults=MAX_PAGE_COUNT,
        )
        return map(_ami, map(read_image, found))


def _ami(image: DescribedImage) -> Ami:
    return Ami(
        image_id=image.image_id,
        name=image.name,
        state=image.state,
        state_reason=image.state_reason,
        location=image.location,
    )
