"""ami-bundler ami copy."""

import argparse

from bundler.aws.image_changes import copy_call
from bundler.aws.session import Cloud
from bundler.cli.changes import (
    Step,
    add_dry_run_option,
    add_tag_option,
    add_wait_options,
    api_of,
    check_available,
    open_region,
    patience_of,
    require_image,
    show_plan,
)
from bundler.cli.cloud import open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.copies import finish_copy, start_copy
from bundler.cli.options import add_cloud_options
from bundler.model.image import ImageState
from bundler.model.image_change import CopySpec
from bundler.model.own_image import OwnImage
from bundler.model.resource_tag import parse_tags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("image_id", metavar="AMI", help="of --region")
    parser.add_argument(
        "--to-region", default="", metavar="REGION", help="default: the AMI's own (--region)"
    )
    parser.add_argument("--name", default="", metavar="NAME", help="default: the AMI's")
    parser.add_argument("--description", metavar="TEXT", help="default: the AMI's")
    parser.add_argument(
        "--encrypted", action="store_true", help="encrypt the snapshots of an EBS-backed AMI"
    )
    parser.add_argument(
        "--kms-key-id", default="", metavar="KEY", help="of the destination; needs --encrypted"
    )
    parser.add_argument(
        "--copy-tags", "--copy-image-tags", action="store_true", help="copy your tags of the AMI"
    )
    add_tag_option(parser, "the copy, and of its snapshots")
    parser.add_argument(
        "--client-token",
        default="",
        metavar="TEXT",
        help="another one makes another copy (default: one that stands for all the options, so "
        "that the same command makes one copy only)",
    )
    add_dry_run_option(parser)
    add_wait_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Copy an AMI."""
    patience_of(arguments, console, "")  # so that nothing is done when --timeout is wrong
    tags = parse_tags(arguments.tag)
    cloud = open_cloud(arguments)
    there = open_region(arguments, cloud, arguments.to_region or cloud.region)
    image = require_image(api_of(cloud), arguments.image_id, "ami copy")
    description = image.description if arguments.description is None else arguments.description
    spec = CopySpec(
        image_id=image.image_id,
        source_region=cloud.region,
        region=there.region,
        name=arguments.name or image.name,
        is_s3_backed=image.is_s3_backed,
        description=description,
        is_encrypted=arguments.encrypted,
        kms_key_id=arguments.kms_key_id,
        copies_tags=arguments.copy_tags,
        tags=tags,
        client_token=arguments.client_token,
    )
    check_available(arguments, cloud, image, console)
    _warn(image, console)
    if arguments.dry_run:
        return show_plan([Step(call=copy_call(spec), api=api_of(there))], console)
    return _copy(arguments, spec, there, console)


def _warn(image: OwnImage, console: Console) -> None:
    if image.kernel_id or image.virtualization_type == "paravirtual":
        console.warn(
            f"{image.image_id} is paravirtual: EC2 copies it to regions that have such AMIs only"
        )
    if image.is_s3_backed:
        console.note("EC2 copies the bundle into a bucket of its own making, amis-for-...")


def _copy(arguments: argparse.Namespace, spec: CopySpec, there: Cloud, console: Console) -> Result:
    image_id = start_copy(api_of(there), spec)
    console.note(f"copying {spec.image_id} to {there.region}: {image_id}")
    state = ImageState.PENDING
    if not arguments.no_wait:
        state = finish_copy(arguments, there, image_id, console).state
    return Result(
        text=image_id,
        facts={
            "image_id": image_id,
            "region": there.region,
            "name": spec.name,
            "state": state.value,
            "source_image_id": spec.image_id,
            "source_region": spec.source_region,
        },
    )
