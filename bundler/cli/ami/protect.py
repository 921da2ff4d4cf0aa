"""ami-bundler ami protect."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--cooldown", action="store_true", help="and for 24 hours after --off, too")
    group.add_argument("--off", action="store_true", help="it may be deregistered")


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Protect an AMI."""
    change = open_change(arguments)
    image_id = change.image.image_id
    if not arguments.off:
        call = change.call(
            "EnableImageDeregistrationProtection", WithCooldown=bool(arguments.cooldown)
        )
        return change.run([call], f"protect AMI {image_id}", console)
    call = change.call("DisableImageDeregistrationProtection")
    result = change.run([call], f"end the protection of AMI {image_id}", console)
    if change.image.protection == "enabled-with-cooldown":
        console.note(f"AMI {image_id}: it stays protected for 24 hours after that")
    return result
