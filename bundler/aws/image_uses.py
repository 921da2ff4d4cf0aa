"""Who still needs an AMI: instances, launch templates, and what else EC2 knows of."""

from collections.abc import Iterator

from bundler.aws.ec2_api import Ec2Api
from bundler.errors import AwsRefusedError, MissingError

INSTANCE_STATES = ("pending", "running", "stopping", "stopped")
"""States of instances that need their AMI, if only to be told what they are."""

TEMPLATE_DEPTH = "10000"
"""Versions of a launch template that are looked at, its latest ones: all that EC2 looks at."""

_UNKNOWN_CODES = frozenset(
    ("InvalidAction", "NotImplemented", "UnauthorizedOperation", "UnsupportedOperation")
)
"""Codes of an EC2 without DescribeImageReferences, and of policies older than that."""


def find_uses(api: Ec2Api, image_id: str) -> tuple[str, ...]:
    """What refers to an AMI of this account, such as ``instance/i-1`` or ``parameter/web``.

    DescribeImageReferences knows instances, launch templates, SSM parameters and Image Builder
    recipes; where it may not be asked, instances and all versions of launch templates are
    looked through.  Auto Scaling groups are in aws/scaling_groups.py.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    try:
        return tuple(_find_references(api, image_id))
    except MissingError:
        pass
    except AwsRefusedError as error:
        if error.code not in _UNKNOWN_CODES:
            raise
    return (*_find_instances(api, image_id), *_find_templates(api, image_id))


def _find_references(api: Ec2Api, image_id: str) -> Iterator[str]:
    references = api.pages(
        "DescribeImageReferences",
        "ImageReferences",
        f"look for what needs AMI {image_id}",
        ImageIds=[image_id],
        IncludeAllResourceTypes=True,
        ResourceTypes=[
            _resource_type("ec2:Instance", "state-name", *INSTANCE_STATES),
            _resource_type("ec2:LaunchTemplate", "version-depth", TEMPLATE_DEPTH),
        ],
    )
    for reference in references:
        yield str(reference.get("Arn", "")).split(":", 5)[-1] or "something without a name"


def _resource_type(kind: str, option: str, *values: str) -> dict[str, object]:
    options = [{"OptionName": option, "OptionValues": list(values)}]
    return {"ResourceType": kind, "ResourceTypeOptions": options}


def _find_instances(api: Ec2Api, image_id: str) -> Iterator[str]:
    reservations = api.pages(
        "DescribeInstances",
        "Reservations",
        f"look for instances of AMI {image_id}",
        Filters=[
            {"Name": "image-id", "Values": [image_id]},
            {"Name": "instance-state-name", "Values": list(INSTANCE_STATES)},
        ],
    )
    for reservation in reservations:
        for instance in reservation.get("Instances", ()):
            yield f"instance/{instance['InstanceId']}"


def _find_templates(api: Ec2Api, image_id: str) -> Iterator[str]:
    subject = f"look for launch templates with AMI {image_id}"
    for template in api.pages("DescribeLaunchTemplates", "LaunchTemplates", subject):
        template_id = template["LaunchTemplateId"]
        versions = api.pages(
            "DescribeLaunchTemplateVersions",
            "LaunchTemplateVersions",
            subject,
            LaunchTemplateId=template_id,
        )
        numbers = [
            str(version.get("VersionNumber", "?"))
            for version in versions
            if version.get("LaunchTemplateData", {}).get("ImageId") == image_id
        ]
        if numbers:
            yield f"launch-template/{template_id} (version {', '.join(numbers)})"
