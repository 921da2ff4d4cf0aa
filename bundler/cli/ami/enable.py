"""ami-bundler ami enable."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.image_changes import add_change_options, open_change
from bundler.model.image import ImageState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_change_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Enable an AMI."""
    change = open_change(arguments)
    return change.run(
        [change.call("EnableImage")],
        f"enable AMI {change.image.image_id}",
        console,
        is_done=lambda image: image.state is ImageState.AVAILABLE,
    )
