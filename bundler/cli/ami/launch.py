"""ami-bundler ami launch."""

import argparse
import shlex
import uuid
from functools import partial

from bundler.aws.instances import (
    describe_instances,
    find_instance_types,
    launch_call,
    launch_instances,
)
from bundler.aws.session import Cloud
from bundler.cli.cloud import api_of
from bundler.cli.console import Console, Result
from bundler.cli.image_lookup import check_available, open_image
from bundler.cli.options import (
    add_cloud_options,
    add_dry_run_option,
    add_mapping_options,
    add_tag_option,
    add_wait_options,
    choice,
    mappings_of,
    parse_count,
    patience_of,
)
from bundler.cli.plan import Step, show_plan
from bundler.errors import UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.image import Architecture, VirtualizationType
from bundler.model.image_change import LaunchSpec
from bundler.model.instance import Instance
from bundler.model.resource_tag import parse_tags
from bundler.workflow.wait_ec2 import wait_until_running

MAX_COUNT = 1000
"""Most instances of one command; our choice, as quotas are lower."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image_id", metavar="AMI")
    parser.add_argument("--instance-type", required=True, metavar="TYPE", help="such as m3.medium")
    parser.add_argument("--count", default="1", metavar="N", help="instances (default: 1)")
    parser.add_argument("--key-name", default="", metavar="NAME", help="of the SSH key pair")
    parser.add_argument("--subnet-id", default="", metavar="ID", help="default: EC2's choice")
    parser.add_argument(
        "--security-group-ids",
        action="append",
        default=[],
        metavar="ID[,ID]",
        help="default: the VPC's; may be given again",
    )
    add_mapping_options(parser, "DeviceName=/dev/sdf,Ebs={VolumeSize=8}")
    add_tag_option(parser, "the instances and their volumes")
    parser.add_argument(
        "--client-token",
        default="",
        metavar="TEXT",
        help="the same one launches nothing anew (default: a new one for each run)",
    )
    add_dry_run_option(parser)
    add_wait_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Launch instances."""
    patience = patience_of(arguments, console, arguments.image_id)
    spec = _spec(arguments)
    cloud, image = open_image(arguments)
    api = api_of(cloud)
    if image.is_s3_backed:
        check_instance_type(cloud, image, spec.instance_type)
    check_available(arguments, cloud, image, console)
    _warn_of_m3(image, spec, console)
    if arguments.dry_run:
        return show_plan([Step(call=launch_call(spec, api.region), api=api)], console)
    instance_ids = launch_instances(api, spec)
    console.note(f"launched {', '.join(instance_ids)}")
    if arguments.no_wait:
        instances = describe_instances(api, instance_ids)
    else:
        instances = wait_until_running(
            partial(describe_instances, api), instance_ids, patience, _remedy(image)
        )
    return _result(spec, instance_ids, instances)


def _warn_of_m3(image: DescribedImage, spec: LaunchSpec, console: Console) -> None:
    is_without = not any(one.virtual for one in spec.mappings)
    if image.is_s3_backed and spec.instance_type.startswith("m3.") and is_without:
        console.warn(
            "m3 instances get instance-store volumes only by the mapping of their launch: "
            "--block-device-mapping ephemeral0=/dev/sdb"
        )


def _spec(arguments: argparse.Namespace) -> LaunchSpec:
    groups = [word for given in arguments.security_group_ids for word in given.split(",")]
    return LaunchSpec(
        image_id=arguments.image_id,
        instance_type=arguments.instance_type,
        count=parse_count(arguments.count, "--count", most=MAX_COUNT),
        key_name=arguments.key_name,
        subnet_id=arguments.subnet_id,
        security_group_ids=tuple(group.strip() for group in groups if group.strip()),
        mappings=mappings_of(arguments),
        tags=parse_tags(arguments.tag),
        client_token=arguments.client_token or str(uuid.uuid4()),
    )


def check_instance_type(cloud: Cloud, image: DescribedImage, instance_type: str) -> None:
    """Refuse an instance type that cannot boot an S3-backed AMI, as most cannot.

    Raises:
        UsageError: it cannot; those that can are told.
        AwsRefusedError, TransferError: EC2 does not tell which can.
    """
    virtualization = choice("virtualization", image.virtualization_type, VirtualizationType)
    names = find_instance_types(
        api_of(cloud),
        architecture=choice("architecture", image.architecture, Architecture),
        virtualization_type=virtualization,
    )
    if instance_type in names:
        return
    subject = f"ami launch {image.image_id}"
    what = f"S3-backed AMIs ({virtualization.value}, {image.architecture}) in {cloud.region}"
    if not names:
        raise UsageError(
            f"{subject}: no instance type boots {what}; use another region, or an EBS-backed AMI"
        )
    raise UsageError(
        f"{subject}: {instance_type} does not boot {what}; these do: {', '.join(names)}"
    )


def _remedy(image: DescribedImage) -> str:
    """What to look at when an instance ends before it runs (Server.InternalError)."""
    if image.is_s3_backed:
        return (
            f"look at the bundle: ami-bundler ami show {image.image_id}, and ami-bundler verify "
            f"--deep {shlex.quote(f's3://{image.location}')}"
        )
    return (
        "look at its EBS volumes: their limit of the account, and whether the caller may use the "
        "KMS key of encrypted ones"
    )


def _result(
    spec: LaunchSpec, instance_ids: tuple[str, ...], instances: tuple[Instance, ...]
) -> Result:
    return Result(
        text="\n".join(instance_ids),
        facts={
            "image_id": spec.image_id,
            "instance_ids": list(instance_ids),
            "instances": [
                {
                    "instance_id": one.instance_id,
                    "instance_type": one.instance_type,
                    "state": one.state,
                    "private_ip_address": one.private_address,
                    "public_ip_address": one.public_address,
                }
                for one in instances
            ],
            "client_token": spec.client_token,
        },
    )
