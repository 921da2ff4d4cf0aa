"""Copies of an AMI in other regions, for the commands that make them."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_calls import copy_call
from bundler.aws.images import find_named
from bundler.aws.session import Cloud
from bundler.cli.cloud import api_of, open_region, registry_of
from bundler.cli.console import Console
from bundler.cli.image_lookup import describe_pending
from bundler.cli.options import patience_of
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import Ami
from bundler.model.image_change import CopySpec
from bundler.model.registration import Registration
from bundler.workflow.register import NAME_IS_TAKEN, wait_for_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy that is available."""

    region: str
    image_id: str

    def facts(self) -> dict[str, str]:
        """For programs."""
        return {"region": self.region, "image_id": self.image_id}


def describe_copies(copies: Sequence[Copy]) -> Iterator[str]:
    """A line for each."""
    return (f"{copy.image_id} {copy.region}" for copy in copies)


def check_regions(arguments: argparse.Namespace, cloud: Cloud) -> tuple[str, ...]:
    """The regions of --regions, each once.

    Raises:
        UsageError: one is none, of another partition, or that of the AMI itself.
    """
    words = [word.strip() for word in arguments.regions.split(",")] if arguments.regions else []
    for region in words:
        open_region(arguments, cloud, region)
        if region == cloud.region:
            raise UsageError(f"--regions {region}: the AMI itself will be there")
    return tuple(dict.fromkeys(words))


def check_names_free(
    arguments: argparse.Namespace,
    cloud: Cloud,
    regions: Sequence[str],
    name: str,
    image_id: str | None,
) -> None:
    """Whether copies can have that name in all the regions, before the AMI itself is made.

    A copy of `image_id` may have it: the same command gets that copy from EC2 again.

    Raises:
        AwsRefusedError: another AMI has it, there is no such region, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    for region in regions:
        for holder in find_named(api_of(open_region(arguments, cloud, region)), name):
            # Of old copies EC2 does not tell the source.
            if image_id is None or holder.source_image_id not in ("", image_id):
                raise AwsRefusedError(
                    f"--regions {region}: expected the free name {name!r}, got one that "
                    f"{holder.image_id} has there; nothing is changed: deregister that AMI, or "
                    f"leave {region} out",
                    code=NAME_IS_TAKEN,
                )


def start_copy(api: Ec2Api, spec: CopySpec) -> str:
    """CopyImage; the id of the copy, which is pending.

    Raises:
        AwsRefusedError: EC2 refused.
        TransferError: EC2 could not be reached.
    """
    subject = f"copy AMI {spec.image_id} of {spec.source_region} to {spec.region}"
    return str(api.send(copy_call(spec), subject, "ImageId")["ImageId"])


def finish_copy(
    arguments: argparse.Namespace, there: Cloud, image_id: str, console: Console
) -> Ami:
    """Wait until a copy is available.

    Raises:
        AwsRefusedError: it never will be.
        TransferError: EC2 could not be reached, or it was not available in time.
    """
    patience = patience_of(arguments, console, f"{image_id} in {there.region}")
    try:
        return wait_for_image(
            registry_of(there),
            image_id,
            patience,
            done="it is being copied",
            describe_pending=partial(describe_pending, api_of(there), image_id),
        )
    except AwsRefusedError as error:
        raise AwsRefusedError(
            f"{error}; the same command gets the same copy from EC2: another one needs another "
            "client token (ami-bundler ami copy --client-token)",
            code=error.code,
        ) from error


def _spec(image_id: str, cloud: Cloud, region: str, registration: Registration) -> CopySpec:
    return CopySpec(
        image_id=image_id,
        source_region=cloud.region,
        region=region,
        name=registration.name,
        description=registration.description,
        is_s3_backed=True,
        tags=registration.tags,
    )


def plan_copy(image_id: str, cloud: Cloud, region: str, registration: Registration) -> Ec2Call:
    """The CopyImage that make_copies() sends to one region."""
    return copy_call(_spec(image_id, cloud, region, registration))


def make_copies(
    arguments: argparse.Namespace,
    cloud: Cloud,
    ami: Ami,
    regions: Sequence[str],
    registration: Registration,
    console: Console,
) -> tuple[Copy, ...]:
    """Copy a registered AMI to all the regions, which copy side by side, and wait for each.

    Raises:
        AwsRefusedError, TransferError: a copy failed; the others are made all the same.
    """
    started: list[tuple[Cloud, str]] = []
    copies: list[Copy] = []
    failures: list[AwsRefusedError | TransferError] = []
    for region in regions:
        there = open_region(arguments, cloud, region)
        try:
            spec = _spec(ami.image_id, cloud, region, registration)
            started.append((there, start_copy(api_of(there), spec)))
            console.note(f"copying {ami.image_id} to {region}: {started[-1][1]}")
        except (AwsRefusedError, TransferError) as error:
            failures.append(error)
    for there, image_id in started:
        try:
            finish_copy(arguments, there, image_id, console)
            copies.append(Copy(region=there.region, image_id=image_id))
        except (AwsRefusedError, TransferError) as error:
            failures.append(error)
    for failure in failures[1:]:
        console.warn(str(failure))
    if failures:
        made = ", ".join((f"{ami.image_id} in {cloud.region}", *_places(copies)))
        first = failures[0]
        raise type(first)(f"{first}; there are {made}", code=first.code) from first
    return tuple(copies)


def _places(copies: Sequence[Copy]) -> Iterator[str]:
    return (f"{copy.image_id} in {copy.region}" for copy in copies)
