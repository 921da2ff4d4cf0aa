"""The AMI that a command's argument names, and who may launch it."""

import argparse
from collections.abc import Sequence

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.images import Ec2Images
from bundler.aws.session import Cloud
from bundler.cli.cloud import open_cloud
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.image import is_text
from bundler.model.permission import LaunchPermission


def images_of(cloud: Cloud) -> Ec2Images:
    """The AMIs of a cloud's region."""
    return Ec2Images(Ec2Api(cloud.ec2(), cloud.transport))


def open_image(arguments: argparse.Namespace) -> tuple[Cloud, Ec2Images, DescribedImage]:
    """The AMI of `image_id`, as EC2 describes it now.

    Raises:
        UsageError: it is no text, or AWS's configuration is wrong.
        AwsRefusedError: EC2 knows no such AMI, or refused.
        TransferError: EC2 could not be reached.
    """
    if not is_text(arguments.image_id):
        raise UsageError(f"{arguments.command} {arguments.image_id!r}: expected UTF-8")
    cloud = open_cloud(arguments)
    images = images_of(cloud)
    return cloud, images, images.describe(arguments.image_id)


def find_permissions(
    images: Ec2Images, image_id: str
) -> tuple[Sequence[LaunchPermission] | None, str]:
    """Who may launch an AMI; None, and why, where EC2 tells that to its owner alone.

    Raises:
        TransferError: EC2 could not be reached.
    """
    try:
        return images.launch_permissions(image_id), ""
    except AwsRefusedError as error:
        return None, str(error)


def permission_facts(permissions: Sequence[LaunchPermission] | None) -> object:
    """For programs; null where they are hidden."""
    if permissions is None:
        return None
    return [{"kind": one.kind.value, "who": one.who} for one in permissions]
