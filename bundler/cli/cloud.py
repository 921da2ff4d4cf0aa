"""What the options say of AWS.

Importing AWS's library takes longer than many a command, so commands that may do without it
import this module where they need it.
"""

import argparse

from bundler.aws.session import Cloud, partition
from bundler.aws.sts import account_id

__all__ = ["find_account", "open_cloud", "partition"]


def open_cloud(arguments: argparse.Namespace) -> Cloud:
    """The account and region that the options name."""
    return Cloud.open(
        region=arguments.region, profile=arguments.profile, endpoint_url=arguments.endpoint_url
    )


def find_account(arguments: argparse.Namespace) -> str:
    """The account of the AWS credentials (STS)."""
    return account_id(open_cloud(arguments).sts())
