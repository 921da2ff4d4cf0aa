"""ami-bundler ami list."""

import argparse

from bundler.cli.console import Console, Result
from bundler.cli.options import add_cloud_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """List AMIs."""
    raise NotImplementedError
