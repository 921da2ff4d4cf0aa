"""AMIs of everybody: found, described, and who may launch them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bundler.aws.ec2 import MAX_PAGE_COUNT
from bundler.aws.ec2_api import Ec2Api
from bundler.aws.remedies import REMEDIES
from bundler.errors import AwsRefusedError
from bundler.model.described_image import DescribedImage, ImageQuery
from bundler.model.ec2_call import Ec2Call
from bundler.model.permission import LaunchPermission, PermissionKind, read_permission


class Ec2Images:
    """The AMIs that one region tells the caller of."""

    def __init__(self, api: Ec2Api) -> None:
        self._api = api

    @property
    def region(self) -> str:
        """The region."""
        return self._api.region

    def find(self, query: ImageQuery) -> Iterator[DescribedImage]:
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
        found = self._api.pages("DescribeImages", "Images", "list AMIs", **request)
        return filter(query.matches, map(_described, found))

    def describe(self, image_id: str) -> DescribedImage:
        """DescribeImages of one AMI, deprecated and disabled ones too.

        Raises:
            AwsRefusedError: EC2 knows no such AMI, or refused.
            TransferError: EC2 could not be reached.
        """
        subject = f"describe AMI {image_id} in {self.region}"
        found = self._api.pages(
            "DescribeImages",
            "Images",
            subject,
            ImageIds=[image_id],
            IncludeDeprecated=True,
            IncludeDisabled=True,
        )
        for image in found:
            return _described(image)
        code = "InvalidAMIID.NotFound"
        raise AwsRefusedError(f"{subject}: there is none ({code}); {REMEDIES[code]}", code=code)

    def launch_permissions(self, image_id: str) -> tuple[LaunchPermission, ...]:
        """DescribeImageAttribute: who may launch an AMI, besides its owner; in order.

        Raises:
            AwsRefusedError: the AMI is not the caller's, or EC2 refused.
            TransferError: EC2 could not be reached.
        """
        call = Ec2Call(
            operation="DescribeImageAttribute",
            region=self.region,
            parameters={"ImageId": image_id, "Attribute": "launchPermission"},
        )
        reply = self._api.send(call, f"read the launch permissions of AMI {image_id}")
        found = map(read_permission, reply.get("LaunchPermissions", ()))
        kinds = list(PermissionKind)
        return tuple(
            sorted((one for one in found if one), key=lambda one: (kinds.index(one.kind), one.who))
        )

    def send(self, call: Ec2Call, subject: str) -> str:
        """Do what a call says, which must bear to be done twice; EC2's word of the result.

        Raises:
            AwsRefusedError: EC2 refused, or says that it was not done.
            UsageError: a parameter is none of the operation's.
            TransferError: EC2 could not be reached.
        """
        word = self._api.send(call, subject).get("Return", "")
        if word is False:
            raise AwsRefusedError(f"{subject}: EC2 says that it was not done, and no reason")
        return str(word)

    def dry_run(self, call: Ec2Call, subject: str) -> None:
        """Ask whether send() would succeed.

        Raises:
            AwsRefusedError, UsageError, TransferError: as send() would.
        """
        self._api.dry_run(call, subject)


def _described(image: Mapping[str, Any]) -> DescribedImage:
    return DescribedImage(
        image_id=image["ImageId"],
        name=image.get("Name", ""),
        state=image.get("State", ""),
        state_reason=image.get("StateReason", {}).get("Message", ""),
        owner=image.get("OwnerId", ""),
        owner_alias=image.get("ImageOwnerAlias", ""),
        architecture=image.get("Architecture", ""),
        root_device_type=image.get("RootDeviceType", ""),
        virtualization_type=image.get("VirtualizationType", ""),
        location=image.get("ImageLocation", ""),
        creation_date=image.get("CreationDate", ""),
        is_public=image.get("Public", False),
        facts={name: _plain(value) for name, value in image.items()},
    )


def _plain(value: object) -> object:
    """As JSON can say it: times as texts."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
