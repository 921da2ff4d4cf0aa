"""ami-bundler convert."""

import argparse
import time
from contextlib import ExitStack

from bundler.aws.ebs_images import EbsImageRegistry
from bundler.aws.ebs_reader import EbsBlockReader
from bundler.aws.session import Cloud
from bundler.aws.snapshots import delete_snapshot
from bundler.cli.cloud import api_of, open_cloud, registry_of
from bundler.cli.console import Console, Result
from bundler.cli.convert_file import check_output, write_file
from bundler.cli.convert_fstab import (
    add_fstab_option,
    find_made,
    find_snapshot_fstab,
    fstab_facts,
    remove_mounts,
    tell_fstab,
)
from bundler.cli.convert_plan import plan_conversion
from bundler.cli.convert_registration import add_ami_arguments, new_registration
from bundler.cli.convert_source import ConvertSource, add_source_arguments, is_local, open_source
from bundler.cli.options import (
    add_cloud_options,
    add_dry_run_option,
    add_passphrase_option,
    add_resume_option,
    add_transfer_options,
    choice,
)
from bundler.cli.publish import add_state_option
from bundler.cli.snapshot import (
    load,
    new_token,
    open_snapshots,
    open_state,
    say_written,
    snapshot_facts,
    wait,
)
from bundler.errors import AwsRefusedError, BundlerError, TransferError, UsageError
from bundler.host.processors import processor_count
from bundler.model.ebs_registration import EbsRegistration
from bundler.model.partition_table import PartitionScheme
from bundler.model.resource_tag import parse_tags
from bundler.model.snapshot import MAX_DESCRIPTION_LENGTH, SnapshotRequest, volume_size
from bundler.workflow.convert import ConversionPlan, convert_bundle, disk_size, find_converted
from bundler.workflow.register import wait_for_image
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog, describe_bundle
from bundler.workflow.wait import Patience

_AMI_OPTIONS = ("name", "tag", "copy_permissions", "dry_run")
"""Options that mean nothing for an image file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_source_arguments(parser)
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("FORMAT", "FILE"),
        help="write an image file, and make no AMI; FORMAT: raw, qcow2, vmdk or vhd",
    )
    add_ami_arguments(parser)
    parser.add_argument(
        "--partition",
        default="",
        metavar="gpt|mbr",
        help="wrap a bare file system into a partitioned disk, without a boot loader",
    )
    add_fstab_option(parser)
    parser.add_argument(
        "--copy-permissions",
        action="store_true",
        help="give the new AMI the old one's launch permissions",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="make an hvm AMI of a bare file system; with --to: replace FILE",
    )
    add_dry_run_option(parser, asks=False)
    add_passphrase_option(parser)
    add_resume_option(parser)
    add_state_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Convert a bundle."""
    if arguments.to is None and not arguments.name:
        raise UsageError("convert: expected --name NAME for the AMI, or --to FORMAT FILE")
    given = [option for option in _AMI_OPTIONS if vars(arguments)[option]]
    if arguments.to and given:
        words = ", ".join(f"--{option.replace('_', '-')}" for option in given)
        raise UsageError(f"convert: {words}: for an AMI, not with --to")
    target = check_output(arguments) if arguments.to else None
    wanted = dict(parse_tags(arguments.tag))
    word = arguments.partition
    scheme = choice("--partition", word, PartitionScheme) if word else None
    if target is not None:
        place = None if is_local(arguments.source) else open_cloud(arguments)
        source = open_source(arguments, place, console)
        return write_file(arguments, source, target, scheme, place, console)
    cloud = open_cloud(arguments)
    source = open_source(arguments, cloud, console)
    images = EbsImageRegistry(cloud.ec2(), cloud.transport)
    if arguments.copy_permissions and source.ami is None:
        raise UsageError("convert: --copy-permissions needs the old AMI's id as SOURCE")
    registration = new_registration(arguments, source, wanted)
    request = SnapshotRequest(
        volume_size=volume_size(disk_size(source.manifest, scheme)),
        description=f"{registration.name}: {source.manifest.name}"[:MAX_DESCRIPTION_LENGTH],
        tags=registration.tags,
    )
    if arguments.dry_run:
        return plan_conversion(registration, request, images, cloud.region, console)
    plan = ConversionPlan(
        virtualization_type=registration.virtualization_type,
        scheme=scheme,
        is_forced=arguments.force,
    )
    if scheme:
        console.warn("the disk gets no boot loader: an hvm instance does not boot without one")
    return _make_ami(arguments, source, plan, registration, request, cloud, images, console)


def _make_ami(
    arguments: argparse.Namespace,
    source: ConvertSource,
    plan: ConversionPlan,
    registration: EbsRegistration,
    request: SnapshotRequest,
    cloud: Cloud,
    images: EbsImageRegistry,
    console: Console,
) -> Result:
    with ExitStack() as stack:
        what = f"{source.place}\n{registration.name}"
        file = open_state(stack, arguments, cloud, what, console)
        log = SnapshotLog(
            file, describe_bundle(source.manifest, request, partition=arguments.partition)
        )
        earlier = None if arguments.no_resume else load(log, console)
        done = find_converted(images, registration.name, earlier)
        if done is not None and earlier is not None:
            image_id, first_id = done.image_id, earlier.snapshot_id
            facts = find_made(
                done,
                earlier,
                EbsBlockReader(cloud.ebs(), cloud.transport),
                console,
                removes_mounts=arguments.remove_ephemeral_mounts,
            )
        else:
            first_id, facts = _make_snapshot(
                arguments, source, plan, request, cloud, log, earlier, console
            )
            image_id = _register(images, registration, str(facts["snapshot_id"]), console)
        registry = registry_of(cloud)
        patience = Patience(sleep=time.sleep, clock=time.monotonic)
        ami = wait_for_image(registry, image_id, patience)
        count = _copy_permissions(arguments, images, source, image_id)
        if first_id != facts["snapshot_id"]:
            _delete_first(cloud, first_id, console)
        log.finish()
    more = {
        "image_id": image_id,
        "name": registration.name,
        "state": ami.state.value,
        "source": source.place,
        "signature_checked": source.is_signature_checked,
        "permission_count": count,
    }
    return Result(text=image_id, facts={**facts, **more})


def _make_snapshot(
    arguments: argparse.Namespace,
    source: ConvertSource,
    plan: ConversionPlan,
    request: SnapshotRequest,
    cloud: Cloud,
    log: SnapshotLog,
    earlier: EarlierSnapshot | None,
    console: Console,
) -> tuple[str, dict[str, object]]:
    """Write the image into a snapshot, and wait until it can be registered.

    The snapshot that was written, and facts of the one to register, which may be another.
    """
    snapshots = open_snapshots(cloud)
    written = convert_bundle(
        source.manifest,
        source.parts(),
        source.secret,
        plan,
        request,
        snapshots,
        log,
        earlier=earlier,
        new_token=new_token,
        workers=processor_count(),
        progress=console,
    )
    say_written(written, cloud, console)
    state = wait(snapshots, written.snapshot_id, console, no_wait=False)
    snapshot_id, reader = written.snapshot_id, EbsBlockReader(cloud.ebs(), cloud.transport)
    is_removed = arguments.remove_ephemeral_mounts
    if is_removed:
        snapshot_id, fstab = remove_mounts(snapshot_id, request, reader, snapshots, log)
        state = wait(snapshots, snapshot_id, console, no_wait=False)
    else:
        fstab = find_snapshot_fstab(reader, snapshot_id, console)
    tell_fstab(fstab, console, is_removed=is_removed)
    facts = snapshot_facts(written, request, cloud, state=state)
    more = fstab_facts(fstab, is_removed=is_removed)
    return written.snapshot_id, {**facts, **more, "snapshot_id": snapshot_id}


def _delete_first(cloud: Cloud, snapshot_id: str, console: Console) -> None:
    """Delete the snapshot whose place another one has taken; that it stays is a warning."""
    try:
        delete_snapshot(api_of(cloud), snapshot_id)
    except (AwsRefusedError, TransferError) as error:
        console.warn(f"{snapshot_id} is not needed any more, and billed: {error}")


def _register(
    images: EbsImageRegistry, registration: EbsRegistration, snapshot_id: str, console: Console
) -> str:
    console.note(f"registering snapshot {snapshot_id} as {registration.name!r}")
    try:
        return images.register(registration, snapshot_id)
    except BundlerError:
        console.note(f"snapshot {snapshot_id} is whole: the same command again uses it")
        raise


def _copy_permissions(
    arguments: argparse.Namespace, images: EbsImageRegistry, source: ConvertSource, image_id: str
) -> int:
    """Copy launch permissions if that is wanted; their number."""
    if not arguments.copy_permissions or source.ami is None:
        return 0
    return images.copy_permissions(source.ami.image_id, image_id)
