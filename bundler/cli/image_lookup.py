"""The AMI that a command's argument names: what it is, who may launch it, and when it can be."""

import argparse
from collections.abc import Sequence

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.images import find_image, read_launch_permissions, require_image
from bundler.aws.session import Cloud
from bundler.aws.snapshots import describe_snapshots
from bundler.cli.cloud import api_of, open_cloud, registry_of
from bundler.cli.console import Console
from bundler.cli.options import patience_of
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.image import ImageState, is_text
from bundler.model.permission import LaunchPermission
from bundler.workflow.register import wait_for_image
from bundler.workflow.wait_ec2 import describe_progress

_STATE_REMEDIES = {
    ImageState.DISABLED: "ami-bundler ami enable {}",
    ImageState.PENDING: "wait until it is, or leave --no-wait and --dry-run out",
    ImageState.TRANSIENT: "wait until it is",
}
"""What helps where an AMI should be available; of all other states it never will be."""


def open_image(arguments: argparse.Namespace) -> tuple[Cloud, DescribedImage]:
    """The AMI of `image_id`, as EC2 describes it now.

    Raises:
        UsageError: it is no text, or AWS's configuration is wrong.
        AwsRefusedError: EC2 knows no such AMI, or refused.
        TransferError: EC2 could not be reached.
    """
    if not is_text(arguments.image_id):
        raise UsageError(f"{arguments.command} {arguments.image_id!r}: expected UTF-8")
    cloud = open_cloud(arguments)
    return cloud, require_image(api_of(cloud), arguments.image_id, arguments.command)


def find_permissions(api: Ec2Api, image_id: str) -> tuple[Sequence[LaunchPermission] | None, str]:
    """Who may launch an AMI; None, and why, where EC2 tells that to its owner alone.

    Raises:
        TransferError: EC2 could not be reached.
    """
    try:
        return read_launch_permissions(api, image_id), ""
    except AwsRefusedError as error:
        return None, str(error)


def permission_facts(permissions: Sequence[LaunchPermission] | None) -> object:
    """For programs; null where they are hidden."""
    if permissions is None:
        return None
    return [{"kind": one.kind.value, "who": one.who} for one in permissions]


def check_available(
    arguments: argparse.Namespace, cloud: Cloud, image: DescribedImage, console: Console
) -> None:
    """Make sure that an AMI is available; one that is pending is waited for, if that is allowed.

    Raises:
        AwsRefusedError: it is not, and never will be, or nothing is to be waited for.
        TransferError: EC2 could not be reached, or it was not available in time.
    """
    if image.state is ImageState.AVAILABLE:
        return
    if image.state is ImageState.PENDING and not (arguments.no_wait or arguments.dry_run):
        patience = patience_of(arguments, console, image.image_id)
        wait_for_image(registry_of(cloud), image.image_id, patience, done="it is needed")
        return
    reason = f": {image.state_reason}" if image.state_reason else ""
    remedy = _STATE_REMEDIES.get(image.state, "make it anew, and deregister this one")
    raise AwsRefusedError(
        f"{arguments.command} {image.image_id}: expected an AMI that is available, got "
        f"{image.state.value}{reason}; {remedy.format(image.image_id)}",
        code="InvalidAMIID.Unavailable",
    )


def describe_pending(api: Ec2Api, image_id: str) -> str:
    """How far the snapshots of a pending AMI are; whoever may not know waits all the same."""
    try:
        image = find_image(api, image_id)
        return describe_progress(describe_snapshots(api, image.snapshot_ids)) if image else ""
    except AwsRefusedError:
        return ""
