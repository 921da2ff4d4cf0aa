"""ami-bundler ami disable."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change
from bundler.cli.image_lookup import find_permissions, permission_facts
from bundler.model.image import ImageState

MAX_SHOWN = 5
"""Most launch permissions that people are shown; our choice."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Disable an AMI."""
    change = open_change(arguments)
    image_id = change.image.image_id
    permissions, _ = find_permissions(change.api, image_id)
    if permissions:
        names = ", ".join(one.describe() for one in permissions[:MAX_SHOWN])
        more = len(permissions) - MAX_SHOWN
        console.warn(
            f"AMI {image_id}: EC2 forgets who may launch it: {names}"
            + (f" and {more} more (--json has all)" if more > 0 else "")
            + "; once it is enabled, ami-bundler ami share gives that back"
        )
    return change.run(
        [change.call("DisableImage")],
        f"disable AMI {image_id}",
        console,
        is_done=lambda image: image.state is ImageState.DISABLED,
        facts={"lost_launch_permissions": permission_facts(permissions)},
    )
