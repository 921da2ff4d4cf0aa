"""Who may launch an AMI, for commands that show or change that."""

from collections.abc import Sequence

from bundler.aws.images import Ec2Images
from bundler.errors import AwsRefusedError
from bundler.model.permission import LaunchPermission


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
