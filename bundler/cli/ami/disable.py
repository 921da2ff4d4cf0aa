"""ami-bundler ami disable."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change
from bundler.cli.image_lookup import find_permissions, permission_facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Disable an AMI."""
    change = open_change(arguments)
    image_id = change.image.image_id
    permissions, _ = find_permissions(change.images, image_id)
    for one in permissions or ():
        console.warn(
            f"AMI {image_id}: {one.describe()} may launch it, and EC2 takes that away for good: "
            "ami-bundler ami share gives it back once it is enabled"
        )
    return change.run(
        [change.call("DisableImage")],
        f"disable AMI {image_id}",
        console,
        is_done=lambda image: image.state == "disabled",
        facts={"lost_launch_permissions": permission_facts(permissions)},
    )
