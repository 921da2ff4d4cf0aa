"""What the commands that change AMIs share: plans, waiting, tags, mappings, other regions."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_changes import find_image
from bundler.aws.session import Cloud, partition
from bundler.aws.snapshots import describe_snapshots
from bundler.cli.console import Console, Result, printable
from bundler.cli.options import parse_seconds
from bundler.errors import AwsRefusedError, BundlerError, UsageError
from bundler.model.device_mapping import DeviceMapping, parse_mappings
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import ImageState
from bundler.model.own_image import OwnImage
from bundler.model.registration import Registration
from bundler.workflow.register import wait_for_image
from bundler.workflow.wait import WAIT_TIMEOUT, Patience
from bundler.workflow.wait_ec2 import describe_progress

MAX_TIMEOUT = 7 * 24 * 3600.0
"""Most seconds that --timeout takes.  Our choice: copies of terabytes take hours."""


_STATE_REMEDIES = {
    ImageState.DISABLED: "ami-bundler ami enable {}",
    ImageState.PENDING: "wait until it is, or leave --no-wait and --dry-run out",
    ImageState.TRANSIENT: "wait until it is",
}
"""What helps where an AMI should be available; of all other states it never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of a plan."""

    call: Ec2Call
    api: Ec2Api | None
    """Who can be asked about it; None when it needs what earlier steps make."""


def add_dry_run_option(parser: argparse.ArgumentParser) -> None:
    """--dry-run."""
    parser.add_argument(
        "--dry-run",
        "-n",
        action="store_true",
        help="print the calls and their parameters, ask EC2 whether they would succeed (DryRun), "
        "and change nothing",
    )


def add_wait_options(parser: argparse.ArgumentParser, *, may_skip: bool = True) -> None:
    """--timeout and --no-wait."""
    parser.add_argument(
        "--timeout",
        default="",
        metavar="SECONDS",
        help=f"that are waited at most (default: {WAIT_TIMEOUT:g})",
    )
    if may_skip:
        parser.add_argument(
            "--no-wait", action="store_true", help="do not wait until it is done: print the id"
        )


def add_tag_option(parser: argparse.ArgumentParser, what: str) -> None:
    """--tag."""
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"of {what}, from its creation on; may be given again",
    )


def add_mapping_options(parser: argparse.ArgumentParser, example: str) -> None:
    """--block-device-mapping and --block-device-mappings."""
    parser.add_argument(
        "--block-device-mapping",
        "-B",
        action="append",
        default=[],
        metavar="VIRTUAL=DEVICE",
        help="an instance-store volume, such as ephemeral0=/dev/sdb; may be given again",
    )
    parser.add_argument(
        "--block-device-mappings",
        default="",
        metavar="JSON",
        help=f"as the AWS CLI takes them, such as '{example}'",
    )


def mappings_of(arguments: argparse.Namespace) -> tuple[DeviceMapping, ...]:
    """The mappings of both options.

    Raises:
        UsageError: one is malformed.
    """
    words = [DeviceMapping.parse(word) for word in arguments.block_device_mapping]
    document: str = arguments.block_device_mappings
    return (*words, *(parse_mappings(document) if document else ()))


def patience_of(arguments: argparse.Namespace, console: Console, subject: str) -> Patience:
    """How long is waited; what is seen meanwhile is told of `subject`."""
    seconds = WAIT_TIMEOUT
    if arguments.timeout:
        seconds = parse_seconds(arguments.timeout, "--timeout", most=MAX_TIMEOUT)
    return Patience(
        sleep=time.sleep,
        clock=time.monotonic,
        timeout=seconds,
        tell=lambda state: console.note(f"{subject}: {state}"),
    )


def api_of(cloud: Cloud) -> Ec2Api:
    """EC2 of a cloud's region."""
    return Ec2Api(cloud.ec2(), cloud.transport)


def registry_of(cloud: Cloud) -> Ec2ImageRegistry:
    """The AMIs of a cloud's region."""
    return Ec2ImageRegistry(cloud.ec2(), cloud.transport)


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


def require_image(api: Ec2Api, image_id: str, command: str) -> OwnImage:
    """An AMI that must be there.

    Raises:
        AwsRefusedError: it is not, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    image = find_image(api, image_id)
    if image is None:
        raise AwsRefusedError(
            f"{command} {image_id}: there is no such AMI in {api.region}, or it is not shared "
            "with this account; check the id and the region",
            code="InvalidAMIID.NotFound",
        )
    return image


def check_available(
    arguments: argparse.Namespace, cloud: Cloud, image: OwnImage, console: Console
) -> None:
    """Make sure that an AMI is available; one that is pending is waited for, if that is allowed.

    Raises:
        AwsRefusedError: it is not, and never will be, or nothing is to be waited for.
        TransferError: EC2 could not be reached, or it was not available in time.
    """
    if image.state is ImageState.AVAILABLE:
        return
    if image.state is ImageState.PENDING and not (arguments.no_wait or arguments.dry_run):
        patience = patience_of(arguments, console, image.image_id)
        wait_for_image(registry_of(cloud), image.image_id, patience, done="it is needed")
        return
    reason = f": {image.state_reason}" if image.state_reason else ""
    remedy = _STATE_REMEDIES.get(image.state, "make it anew, and deregister this one")
    raise AwsRefusedError(
        f"{arguments.command} {image.image_id}: expected an AMI that is available, got "
        f"{image.state.value}{reason}; {remedy.format(image.image_id)}",
        code="InvalidAMIID.Unavailable",
    )


def describe_pending(api: Ec2Api, image_id: str) -> str:
    """How far the snapshots of a pending AMI are; whoever may not know waits all the same."""
    try:
        image = find_image(api, image_id)
        return describe_progress(describe_snapshots(api, image.snapshot_ids)) if image else ""
    except AwsRefusedError:
        return ""


def show_plan(steps: Sequence[Step], console: Console, **facts: object) -> Result:
    """Ask EC2 what would become of each step, as far as it can tell, and show them all.

    Raises:
        BundlerError: the error that one of them would be.
    """
    lines = [printable(step.call.describe()) for step in steps]
    try:
        ask_all(steps)
    except BundlerError:
        for line in lines:
            console.note(line)
        raise
    calls = [{**step.call.facts(), "asked": step.api is not None} for step in steps]
    if any(step.api is None for step in steps):
        console.note("EC2 can be asked only about calls that need nothing that the others make")
    return Result(text="\n".join(lines), facts={"dry_run": True, "calls": calls, **facts})


def ask_all(steps: Sequence[Step]) -> None:
    """Ask EC2 about each step, with DryRun.

    Raises:
        AwsRefusedError: the error that one of them would be.
        TransferError: EC2 could not be reached.
    """
    for step in steps:
        if step.api is not None:
            step.api.dry_run(step.call, f"would {step.call.operation}")


def register_line(registration: Registration, region: str) -> str:
    """The command that registers an AMI as that registration says."""
    words = ["ami-bundler", "ami", "register", registration.location.url]
    words += ["--name", registration.name, "--region", region]
    words += ["--arch", registration.architecture.value]
    words += ["--virtualization-type", registration.virtualization_type.value]
    for option, value in (
        ("--description", registration.description),
        ("--kernel", registration.kernel_id),
        ("--ramdisk", registration.ramdisk_id),
        ("--root-device-name", registration.root_device_name),
        ("--boot-mode", registration.boot_mode or ""),
        ("--sriov-net-support", "simple" if registration.has_sriov else ""),
        ("--imds-support", "v2.0" if registration.needs_imds_v2 else ""),
    ):
        words += [option, str(value)] if value else []
    words += ["--ena-support"] if registration.has_ena else []
    for mapping in registration.mappings:
        words += ["--block-device-mapping", f"{mapping.virtual}={mapping.device}"]
    for key, value in registration.tags:
        words += ["--tag", f"{key}={value}"]
    return " ".join(map(quote, words))
