"""ami-bundler convert --dry-run."""

from bundler.aws.ebs import start_arguments
from bundler.aws.ebs_images import EbsImageRegistry
from bundler.aws.image_calls import register_snapshot_call
from bundler.cli.console import Console, Result
from bundler.cli.plan import Step, show_plan
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.ec2_call import Ec2Call
from bundler.model.snapshot import SnapshotRequest
from bundler.workflow.convert import find_converted

NEW_SNAPSHOT = "snap-NEW"
"""Stands for the id of the snapshot that is not there yet."""


def plan_conversion(
    registration: EbsRegistration,
    request: SnapshotRequest,
    images: EbsImageRegistry,
    region: str,
    console: Console,
) -> Result:
    """What convert would ask for; the name is looked for, and the source was opened before.

    Raises:
        AwsRefusedError: another AMI has the name, or EC2 refused.
        TransferError: EC2 could not be reached.
    """
    find_converted(images, registration.name, None)
    arguments: dict[str, object] = {**start_arguments(request)}
    start = Ec2Call(operation="StartSnapshot", region=region, parameters=arguments)
    register = register_snapshot_call(registration, NEW_SNAPSHOT, region)
    # The EBS direct APIs know no DryRun, and RegisterImage needs the snapshot.
    return show_plan([Step(call=call, api=None) for call in (start, register)], console)
