"""Auto Scaling: the launch configurations and groups that need an AMI."""

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from bundler.aws.pages import Page, read_pages
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_autoscaling.type_defs import (
        AutoScalingGroupNamesTypeTypeDef,
        AutoScalingGroupsTypeTypeDef,
        AutoScalingGroupTypeDef,
        LaunchConfigurationNamesTypeTypeDef,
        LaunchConfigurationsTypeTypeDef,
    )

MAX_RECORDS = 100
"""Most items of one reply.  Source: DescribeAutoScalingGroups, `MaxRecords`."""

_TEMPLATE = re.compile(r"launch-template/(lt-\w+)")
"""A launch template among what find_uses() finds (aws/image_uses.py)."""

_UNKNOWN_CODES = frozenset(("InvalidAction", "NotImplemented", "UnknownOperationException", ""))
"""Codes of servers other than AWS that have no Auto Scaling."""


def find_scaling_uses(
    client: "AutoScalingClient", transport: Transport, image_id: str, uses: Collection[str]
) -> tuple[str, ...]:
    """The launch configurations with an AMI, and the groups that launch it.

    `uses` are what find_uses() has found: groups are looked for that use a launch template
    among them, of whatever version.  A server that has no Auto Scaling has none.

    Raises:
        AwsRefusedError: Auto Scaling refused.
        TransferError: it could not be reached.
    """
    templates = {found[1] for use in uses if (found := _TEMPLATE.match(use))}
    try:
        configurations = set(_find_configurations(client, transport, image_id))
        groups = (
            tuple(_find_groups(client, transport, image_id, configurations | templates))
            if configurations or templates
            else ()
        )
    except AwsRefusedError as error:
        if error.code not in _UNKNOWN_CODES:
            raise
        return ()
    return (*(f"launch-configuration/{name}" for name in sorted(configurations)), *groups)


def _find_configurations(
    client: "AutoScalingClient", transport: Transport, image_id: str
) -> Iterator[str]:
    def ask(request: "LaunchConfigurationNamesTypeTypeDef") -> "LaunchConfigurationsTypeTypeDef":
        return client.describe_launch_configurations(**request)

    subject = f"look for launch configurations with AMI {image_id}"
    for page in _pages(transport, subject, ask):
        for one in page["LaunchConfigurations"]:
            if one["ImageId"] == image_id:
                yield one["LaunchConfigurationName"]


def _find_groups(
    client: "AutoScalingClient", transport: Transport, image_id: str, names: Collection[str]
) -> Iterator[str]:
    def ask(request: "AutoScalingGroupNamesTypeTypeDef") -> "AutoScalingGroupsTypeTypeDef":
        return client.describe_auto_scaling_groups(**request)

    subject = f"look for Auto Scaling groups with AMI {image_id}"
    for page in _pages(transport, subject, ask):
        for group in page["AutoScalingGroups"]:
            if found := [name for name in dict.fromkeys(_launches(group)) if name in names]:
                yield f"auto-scaling-group/{group['AutoScalingGroupName']} (by {', '.join(found)})"


def _pages(transport: Transport, subject: str, ask: Callable[[Any], Page]) -> Iterator[Page]:
    """The replies to a request that goes on page by page."""
    return read_pages(
        lambda more: transport.call(subject, partial(ask, {"MaxRecords": MAX_RECORDS, **more})),
        f"{subject}: Auto Scaling does not tell how to go on",
    )


def _launches(group: "AutoScalingGroupTypeDef") -> Iterator[str]:
    """The launch configuration of a group, or the ids of its launch templates."""
    yield group.get("LaunchConfigurationName", "")
    yield group.get("LaunchTemplate", {}).get("LaunchTemplateId", "")
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    yield mixed.get("LaunchTemplateSpecification", {}).get("LaunchTemplateId", "")
    for override in mixed.get("Overrides", []):
        yield override.get("LaunchTemplateSpecification", {}).get("LaunchTemplateId", "")
