"""What the options say of AWS.

Importing AWS's library takes longer than many a command, so commands that may do without it
import this module where they need it.
"""

import argparse

from bundler.aws.session import Cloud, configured_region, partition
from bundler.aws.sts import account_id
from bundler.errors import UsageError


def find_partition(arguments: argparse.Namespace) -> str:
    """The partition of the region that options, environment or configuration name."""
    region = arguments.region or configured_region(arguments.profile)
    return partition(region) if region else "aws"


def open_cloud(arguments: argparse.Namespace) -> Cloud:
    """The account and region that the options name."""
    return Cloud.open(
        region=arguments.region, profile=arguments.profile, endpoint_url=arguments.endpoint_url
    )


def find_account(arguments: argparse.Namespace) -> str:
    """The account of the AWS credentials (STS)."""
    try:
        return account_id(open_cloud(arguments).sts())
    except UsageError as error:
        raise UsageError(f"{error}; or name the account with --account") from error
