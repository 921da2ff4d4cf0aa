"""What the options say of AWS.

Importing AWS's library takes longer than many a command, so commands that may do without it
import this module where they need it.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bundler.aws.bucket import S3Bucket
from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.ec2_api import Ec2Api
from bundler.aws.retry import RetryPolicy
from bundler.aws.s3 import NO_ACL, S3BundleStore
from bundler.aws.session import Cloud, configured_region, partition
from bundler.aws.sts import account_id
from bundler.aws.transport import Transport, TransportSettings
from bundler.cli.console import Console
from bundler.cli.options import parse_count, parse_seconds, parse_size
from bundler.errors import AwsRefusedError, InUseError, TransferError, UsageError
from bundler.model.file_name import manifest_name
from bundler.model.image import ImageLocation
from bundler.model.resource_tag import parse_tags
from bundler.workflow.ports import Advance
from bundler.workflow.registered import find_registered
from bundler.workflow.upload import FoundBundle


def find_partition(arguments: argparse.Namespace) -> str:
    """The partition of the region that options, environment or configuration name."""
    region = arguments.region or configured_region(arguments.profile)
    return partition(region) if region else "aws"


def open_cloud(arguments: argparse.Namespace) -> Cloud:
    """The account and region that the options name."""
    return Cloud.open(
        region=arguments.region,
        profile=arguments.profile,
        endpoint_url=arguments.endpoint_url,
        settings=transport_settings(arguments),
    )


def open_region(arguments: argparse.Namespace, cloud: Cloud, region: str) -> Cloud:
    """The same account in another region.

    Raises:
        UsageError: it is no region, or one of another partition.
    """
    there, here = partition(region), partition(cloud.region)
    if there != here:
        raise UsageError(
            f"{arguments.command}: {region} is of the partition {there}, {cloud.region} of {here}, "
            "and EC2 copies no AMI from one to the other; ami-bundler migrate takes its bundle "
            "there, and ami-bundler ami register registers it"
        )
    return Cloud.open(region=region, profile=arguments.profile, endpoint_url=arguments.endpoint_url)


def api_of(cloud: Cloud) -> Ec2Api:
    """EC2 of a cloud's region."""
    return Ec2Api(cloud.ec2(), cloud.transport)


def registry_of(cloud: Cloud) -> Ec2ImageRegistry:
    """The AMIs of a cloud's region."""
    return Ec2ImageRegistry(cloud.ec2(), cloud.transport)


def transport_settings(arguments: argparse.Namespace) -> TransportSettings:
    """How requests are sent; commands that move little have no options for it."""
    if "max_concurrency" not in arguments:
        return TransportSettings()
    changes: dict[str, Any] = {"is_requester_paying": arguments.request_payer}
    policy: dict[str, Any] = {}
    if word := arguments.max_attempts:
        policy["max_attempts"] = parse_count(word, "--max-attempts", most=100)
    if word := arguments.retry_delay:
        policy["first_delay"] = parse_seconds(word, "--retry-delay", most=60.0)
    if word := arguments.max_concurrency:
        changes["max_concurrency"] = parse_count(word, "--max-concurrency", most=128)
    if word := arguments.max_bandwidth:
        if not (limit := parse_size(word, "--max-bandwidth")):
            raise UsageError(f"--max-bandwidth {word}: expected more than 0 bytes a second")
        changes["max_bandwidth"] = limit
    if word := arguments.timeout:
        changes["timeout"] = parse_seconds(word, "--timeout", most=3600.0)
    return replace(TransportSettings(policy=replace(RetryPolicy(), **policy)), **changes)


def open_store(
    cloud: Cloud,
    location: ImageLocation,
    *,
    acl: str = NO_ACL,
    progress: Advance | None = None,
) -> S3BundleStore:
    """The objects below a location; `acl` is sent with what is put there."""
    return S3BundleStore(
        cloud.s3(), location, transport=cloud.transport, acl=acl, progress=progress
    )


def prepare_bucket(
    arguments: argparse.Namespace, cloud: Cloud, location: ImageLocation, console: Console
) -> None:
    """Make sure that the bucket is there and takes what will be put, or create it."""
    tags = parse_tags(arguments.bucket_tag, "--bucket-tag")
    bucket = S3Bucket(cloud.s3(), location.bucket, cloud.transport)
    is_new = bucket.prepare(
        acl="" if arguments.acl == NO_ACL else arguments.acl,
        enable_acls=arguments.enable_acls,
        tags=dict(tags),
    )
    if is_new:
        console.warn(f"there was no bucket {bucket.url}: it is created, in {cloud.region}")


def warn_of_amis(
    cloud: Cloud, location: ImageLocation, found: FoundBundle, console: Console
) -> None:
    """Whoever launches an AMI reads its bundle: tell when `found` is about to be replaced.

    Raises:
        InUseError: there are AMIs, and it may be replaced only because it is the caller's own.
    """
    if not found.has_manifest or found.is_same:
        return
    manifest = location.join(manifest_name(found.name))
    if location.is_access_point:
        console.warn(f"{manifest.url} is replaced; AMIs may need it under the bucket's own name")
        return
    # Once: who cannot be asked must not keep anybody waiting for a mere warning.
    once = Transport(TransportSettings(policy=RetryPolicy(max_attempts=1)))
    try:
        registered = find_registered(Ec2ImageRegistry(cloud.ec2(), once))
    except (AwsRefusedError, TransferError) as error:
        console.warn(f"{manifest.url} is replaced; which AMIs need it is not known: {error}")
        return
    image_ids = ", ".join(registered.get(manifest.path, ()))
    if image_ids and not found.is_forced:
        raise InUseError(
            f"write bundle: {manifest.url} is what {image_ids} is registered from; --force "
            "replaces it, and nobody can launch that AMI any more"
        )
    if image_ids:
        console.warn(
            f"{manifest.url} is replaced: nobody can launch the AMIs that are registered from it "
            f"any more: {image_ids}"
        )


def find_account(arguments: argparse.Namespace) -> str:
    """The account of the AWS credentials (STS)."""
    try:
        cloud = open_cloud(arguments)
        return account_id(cloud.sts(), cloud.transport)
    except UsageError as error:
        raise UsageError(f"{error}; or name the account with --account") from error


def transfer_facts(cloud: Cloud, *, done: int, held: int) -> dict[str, int]:
    """What was done, for programs: objects moved, there already, and requests repeated."""
    return {
        "transferred_count": done,
        "held_count": held,
        "retry_count": cloud.transport.retry_count,
    }


def describe_transfer(facts: Mapping[str, int]) -> str:
    """What was done, for people."""
    words = [f"{facts['transferred_count']} objects transferred"]
    if facts["held_count"]:
        words.append(f"{facts['held_count']} were there already")
    if facts["retry_count"]:
        words.append(f"{facts['retry_count']} requests repeated")
    return ", ".join(words)
