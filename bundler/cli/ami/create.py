"""ami-bundler ami create."""

import argparse
import uuid
from functools import partial

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_calls import create_call
from bundler.aws.images import find_image_of
from bundler.aws.instances import require_instance
from bundler.aws.session import Cloud
from bundler.aws.snapshots import create_snapshots, describe_snapshots, snapshots_call
from bundler.cli.cloud import api_of, open_cloud, registry_of
from bundler.cli.console import Console, Result
from bundler.cli.image_lookup import describe_pending
from bundler.cli.options import (
    add_cloud_options,
    add_dry_run_option,
    add_mapping_options,
    add_tag_option,
    add_wait_options,
    mappings_of,
    patience_of,
)
from bundler.cli.plan import Step, ask_all, show_plan
from bundler.errors import AwsRefusedError, UsageError
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import ImageState
from bundler.model.image_change import CreateSpec
from bundler.model.instance import Instance
from bundler.model.resource_tag import parse_tags
from bundler.workflow.register import NAME_IS_TAKEN, wait_for_image
from bundler.workflow.wait_ec2 import wait_for_snapshots

_ENDED = ("shutting-down", "terminated")
"""States of instances of which no AMI can be made any more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("instance_id", metavar="INSTANCE")
    parser.add_argument("--name", required=True, metavar="NAME", help="of the AMI")
    parser.add_argument("--description", default="", metavar="TEXT", help="of the AMI")
    parser.add_argument(
        "--no-reboot",
        action="store_true",
        help="do not stop the instance for a moment: its file systems may be half-written then",
    )
    add_mapping_options(parser, "DeviceName=/dev/sdf,NoDevice=")
    add_tag_option(parser, "the AMI and its snapshots")
    parser.add_argument(
        "--snapshot-first",
        action="store_true",
        help="snapshot all volumes of the instance before (CreateSnapshots), to be kept apart",
    )
    add_dry_run_option(parser)
    add_wait_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Make an AMI of an instance."""
    patience_of(arguments, console, "")  # so that nothing is done when --timeout is wrong
    spec = CreateSpec(
        instance_id=arguments.instance_id,
        name=arguments.name,
        description=arguments.description,
        no_reboot=arguments.no_reboot,
        mappings=mappings_of(arguments),
        tags=parse_tags(arguments.tag),
    )
    cloud = open_cloud(arguments)
    api = api_of(cloud)
    # Else snapshots would be made for an AMI that cannot be.
    api.check(create_call(spec, api.region), f"ami create {spec.name!r}")
    instance = require_instance(api, spec.instance_id, "ami create")
    _check_instance(instance)
    image_id = _find_earlier(cloud, spec, console)
    request_id = str(uuid.uuid4())
    first = snapshots_call(
        spec.instance_id,
        api.region,
        description=f"before AMI {spec.name}",
        request_id=request_id,
    )
    if arguments.dry_run:
        steps = [Step(call=create_call(spec, api.region), api=api)]
        if arguments.snapshot_first:
            steps.insert(0, Step(call=first, api=api))
        return show_plan([] if image_id else steps, console, image_id=image_id or None)
    snapshot_ids: tuple[str, ...] = ()
    if not image_id:
        if arguments.snapshot_first:
            ask_all([Step(call=create_call(spec, api.region), api=api)])
            snapshot_ids = _snapshot(arguments, api, first, request_id, console)
        if instance.state == "running" and not spec.no_reboot:
            console.warn(f"{spec.instance_id} is rebooted now; --no-reboot would leave it alone")
        image_id = _create(api, spec)
        console.note(f"creating {image_id} of {spec.instance_id}")
    return _finish(arguments, cloud, spec, image_id, snapshot_ids, console)


def _check_instance(instance: Instance) -> None:
    """Refuse an instance that CreateImage refuses.

    Raises:
        UsageError: it is S3-backed.
        AwsRefusedError: its state is none that an AMI can be made in.
    """
    subject = f"ami create {instance.instance_id}"
    if instance.root_device_type == "instance-store":
        raise UsageError(
            f"{subject}: its root volume is an instance-store volume, and CreateImage makes AMIs "
            "of EBS volumes only; read its root device there into an image file, and make an "
            "S3-backed AMI of that (ami-bundler publish)"
        )
    if instance.state not in ("running", "stopped"):
        raise AwsRefusedError(
            f"{subject}: expected an instance that is running or stopped, got {instance.state}; "
            + ("name another one" if instance.state in _ENDED else "wait until it is"),
            code="IncorrectState",
        )


def _find_earlier(cloud: Cloud, spec: CreateSpec, console: Console) -> str:
    """The AMI of that name if it was made of that instance; empty when the name is free.

    Raises:
        AwsRefusedError: another AMI has the name.
    """
    holder = registry_of(cloud).find(spec.name)
    if holder is None:
        return ""
    ours = find_image_of(api_of(cloud), spec.name, spec.instance_id)
    if ours is None:
        raise AwsRefusedError(
            f"ami create {spec.name!r}: expected a free name, got one that {holder.image_id} has; "
            "choose another one, such as with the date",
            code=NAME_IS_TAKEN,
        )
    console.note(
        f"{spec.name!r} was made of {spec.instance_id} already: {ours.image_id}; for a new one "
        "choose another name"
    )
    return ours.image_id


def _snapshot(
    arguments: argparse.Namespace, api: Ec2Api, call: Ec2Call, request_id: str, console: Console
) -> tuple[str, ...]:
    snapshot_ids = create_snapshots(api, call, request_id)
    words = ", ".join(snapshot_ids)
    console.note(f"snapshots of {arguments.instance_id}: {words or 'it has no volumes'}")
    patience = patience_of(arguments, console, "before the AMI")
    wait_for_snapshots(partial(describe_snapshots, api), snapshot_ids, patience)
    return snapshot_ids


def _create(api: Ec2Api, spec: CreateSpec) -> str:
    """CreateImage; a name that was taken by an attempt whose reply was lost is ours."""
    subject = f"create AMI {spec.name!r} of {spec.instance_id}"
    try:
        return str(api.send(create_call(spec, api.region), subject, "ImageId")["ImageId"])
    except AwsRefusedError as error:
        if error.code != NAME_IS_TAKEN:
            raise
        ours = find_image_of(api, spec.name, spec.instance_id)
        if ours is None:
            raise
        return ours.image_id


def _finish(
    arguments: argparse.Namespace,
    cloud: Cloud,
    spec: CreateSpec,
    image_id: str,
    snapshot_ids: tuple[str, ...],
    console: Console,
) -> Result:
    state = ImageState.PENDING
    api = api_of(cloud)
    if not arguments.no_wait:
        state = wait_for_image(
            registry_of(cloud),
            image_id,
            patience_of(arguments, console, image_id),
            done="it is being created",
            describe_pending=partial(describe_pending, api, image_id),
        ).state
    return Result(
        text=image_id,
        facts={
            "image_id": image_id,
            "name": spec.name,
            "state": state.value,
            "instance_id": spec.instance_id,
            "snapshots_before": list(snapshot_ids),
        },
    )
