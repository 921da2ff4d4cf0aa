"""ami-bundler ami register."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from bundler.aws.image_calls import deregister_call, deregister_image, register_call
from bundler.aws.images import require_image
from bundler.aws.session import Cloud
from bundler.cli.cloud import api_of, open_region, registry_of
from bundler.cli.console import Console, Result
from bundler.cli.copies import (
    Copy,
    check_names_free,
    check_regions,
    describe_copies,
    make_copies,
    plan_copy,
)
from bundler.cli.image_uses import uses_of
from bundler.cli.options import (
    add_cloud_options,
    add_dry_run_option,
    add_mapping_options,
    add_wait_options,
    mappings_of,
    patience_of,
)
from bundler.cli.plan import Step, ask_all, show_plan
from bundler.cli.register import (
    add_attribute_options,
    add_manifest_options,
    add_registration_options,
    register_line,
    registration_of,
)
from bundler.cli.stored import StoredBundle, open_stored
from bundler.errors import AwsRefusedError, InUseError, UsageError
from bundler.model.described_image import DescribedImage
from bundler.model.image import Ami, ImageState
from bundler.model.registration import Registration
from bundler.workflow.register import NAME_IS_TAKEN, register_freed_name, wait_for_image
from bundler.workflow.replace_image import find_trials, replace_image, trial_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("location", metavar="s3://BUCKET/KEY.manifest.xml")
    add_registration_options(parser)
    add_manifest_options(parser)
    add_mapping_options(parser, "DeviceName=/dev/sdb,VirtualName=ephemeral0")
    add_attribute_options(parser)
    parser.add_argument(
        "--replace",
        action="store_true",
        help="take the name from an S3-backed AMI of another manifest, and deregister that",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace one that instances, launch templates or Auto Scaling groups use, too",
    )
    parser.add_argument(
        "--regions", default="", metavar="R1,R2", help="copy the AMI there (CopyImage)"
    )
    add_dry_run_option(parser)
    add_wait_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Register an AMI, and copies of it."""
    bundle = open_stored(arguments, arguments.location)
    cloud = bundle.cloud
    regions = check_regions(arguments, cloud)
    if arguments.no_wait and (regions or arguments.replace):
        raise UsageError("ami register: --no-wait goes with neither --regions nor --replace")
    patience_of(arguments, console, "")  # so that nothing is done when --timeout is wrong
    registration = _registration(arguments, bundle)
    holder = registry_of(cloud).find(registration.name)
    is_ours = holder is not None and holder.location.strip("/") == registration.location.path
    old = None
    if holder is not None and not is_ours:
        old = _check_replaceable(arguments, cloud, registration, holder, console)
    ours = holder if is_ours else None
    check_names_free(arguments, cloud, regions, registration.name, ours.image_id if ours else None)
    if arguments.dry_run:
        return _plan(arguments, registration, cloud, ours, old, regions, console)
    if old is not None:
        ami = _replace(arguments, cloud, registration, old, console)
    else:
        ami = _register(arguments, cloud, registration, holder, console)
    if arguments.replace:
        for trial in find_trials(registry_of(cloud), registration):
            deregister_image(api_of(cloud), trial.image_id)
            console.note(f"{trial.image_id}, left by an interrupted run, is deregistered")
    copies = make_copies(arguments, cloud, ami, regions, registration, console)
    return _result(ami, registration, copies, was_there=holder is not None and is_ours)


def _registration(arguments: argparse.Namespace, bundle: StoredBundle) -> Registration:
    """All that the options ask for; malformed ones are found before anything is sent."""
    mappings = mappings_of(arguments)
    return replace(registration_of(arguments, bundle), mappings=mappings)


def _check_replaceable(
    arguments: argparse.Namespace,
    cloud: Cloud,
    registration: Registration,
    holder: Ami,
    console: Console,
) -> DescribedImage:
    """The AMI that has the name, if it may be replaced.

    Raises:
        AwsRefusedError: --replace is not given, or it cannot be registered again.
        InUseError: something needs it, and --force is not given.
    """
    subject = f"ami register {registration.name!r}"
    if not arguments.replace:
        raise AwsRefusedError(
            f"{subject}: expected a free name, got one that {holder.image_id} of "
            f"{holder.location or 'no manifest'} has; choose another name, or --replace",
            code=NAME_IS_TAKEN,
        )
    old = require_image(api_of(cloud), holder.image_id, "ami register --replace")
    if not old.is_s3_backed or old.is_protected or old.state is ImageState.DISABLED:
        raise AwsRefusedError(
            f"{subject}: {old.image_id} has the name, and only an S3-backed AMI that is neither "
            f"protected nor disabled is replaced, got {old.root_device_type or 'an unknown type'}, "
            f"protection {old.protection or 'disabled'}, {old.state.value}; choose another name",
            code=NAME_IS_TAKEN,
        )
    old.registration()  # raises when it could not be registered again
    if uses := uses_of(cloud, old.image_id):
        words = f"{old.image_id} is needed by {', '.join(uses)}"
        if not arguments.force:
            raise InUseError(f"{subject}: {words}; choose another name, or --force")
        console.warn(f"{words}, and is replaced")
    return old


def _register(
    arguments: argparse.Namespace,
    cloud: Cloud,
    registration: Registration,
    holder: Ami | None,
    console: Console,
) -> Ami:
    """Register under a free name; an AMI of this manifest that has it is what is wanted."""
    registry = registry_of(cloud)
    if holder is not None:
        console.note(
            f"{registration.location.url} is registered as {registration.name!r} already: "
            f"{holder.image_id}; nothing of it is changed"
        )
        image_id = holder.image_id
    else:
        console.note(f"registering {registration.location.url} as {registration.name!r}")
        patience = patience_of(arguments, console, registration.name)
        image_id = register_freed_name(registry, registration, patience)
    if arguments.no_wait:
        ami = registry.describe(image_id)
        return ami or Ami(
            image_id=image_id,
            name=registration.name,
            state=ImageState.PENDING,
            state_reason="",
            location=registration.location.path,
        )
    return wait_for_image(registry, image_id, patience_of(arguments, console, image_id))


def _replace(
    arguments: argparse.Namespace,
    cloud: Cloud,
    registration: Registration,
    old: DescribedImage,
    console: Console,
) -> Ami:
    """Replace `old`, when EC2 says beforehand that both halves would succeed."""
    api = api_of(cloud)
    ask_all(_replacing_steps(registration, cloud, old)[:2])
    console.note(
        f"replacing {old.image_id} of {old.location}: its launch permissions are not taken over; "
        f"to register it again: {register_line(old.registration(), cloud.region)}"
    )
    ami = replace_image(
        registry_of(cloud),
        registration,
        old,
        deregister=partial(deregister_image, api),
        patience=patience_of(arguments, console, registration.name),
    )
    console.note(f"{old.image_id} is deregistered; its bundle {old.location} stays in S3")
    return ami


def _replacing_steps(registration: Registration, cloud: Cloud, old: DescribedImage) -> list[Step]:
    api, region = api_of(cloud), cloud.region
    trial = replace(registration, name=trial_name(registration.name, old.image_id))
    return [
        Step(call=register_call(trial, region), api=api),
        Step(call=deregister_call(old.image_id, region), api=api),
        Step(call=register_call(registration, region), api=None),
        Step(call=deregister_call("(the AMI of the first call)", region), api=None),
    ]


def _plan(
    arguments: argparse.Namespace,
    registration: Registration,
    cloud: Cloud,
    ours: Ami | None,
    old: DescribedImage | None,
    regions: Sequence[str],
    console: Console,
) -> Result:
    steps: list[Step] = []
    if old is not None:
        steps = _replacing_steps(registration, cloud, old)
    elif ours is None:
        steps = [Step(call=register_call(registration, cloud.region), api=api_of(cloud))]
    else:
        console.note(f"{registration.name!r} is {ours.image_id} already, of this very manifest")
    image_id = ours.image_id if ours else "(the new AMI)"
    for region in regions:
        there = api_of(open_region(arguments, cloud, region)) if ours else None
        steps.append(Step(call=plan_copy(image_id, cloud, region, registration), api=there))
    return show_plan(steps, console, image_id=ours.image_id if ours else None)


def _result(
    ami: Ami, registration: Registration, copies: Sequence[Copy], *, was_there: bool
) -> Result:
    return Result(
        text="\n".join([ami.image_id, *describe_copies(copies)]),
        facts={
            "image_id": ami.image_id,
            "name": ami.name,
            "state": ami.state.value,
            "manifest": registration.location.url,
            "was_registered": was_there,
            "copies": [copy.facts() for copy in copies],
        },
    )
