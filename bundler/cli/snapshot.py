"""ami-bundler snapshot."""

import argparse
import secrets
import time
from contextlib import ExitStack
from pathlib import Path

from bundler.aws.ebs import EbsSnapshotStore
from bundler.aws.session import Cloud
from bundler.cli.bundle_source import parse_image_path
from bundler.cli.cloud import open_cloud
from bundler.cli.console import Console, Result
from bundler.cli.options import (
    add_cloud_options,
    add_resume_option,
    add_tag_option,
    add_transfer_options,
)
from bundler.cli.publish import add_state_option, open_state_file
from bundler.host.image_file import ImageSource
from bundler.host.state_file import StateFile
from bundler.model.resource_tag import parse_tags
from bundler.model.snapshot import SnapshotRequest, SnapshotState, volume_size
from bundler.workflow.image_contents import find_format
from bundler.workflow.local_checks import check_raw
from bundler.workflow.snapshot_image import snapshot_image
from bundler.workflow.snapshot_state import (
    EarlierSnapshot,
    SnapshotLog,
    describe_image,
    state_name,
)
from bundler.workflow.wait import Patience
from bundler.workflow.wait_ec2 import SNAPSHOT_TIMEOUT, wait_for_snapshots
from bundler.workflow.write_snapshot import WrittenSnapshot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "image", type=parse_image_path, metavar="IMAGE", help="raw image or block device"
    )
    parser.add_argument("--description", default="", metavar="TEXT", help="of the snapshot")
    add_tag_option(parser, "the snapshot")
    parser.add_argument(
        "--no-wait", action="store_true", help="do not wait until EBS has completed it"
    )
    add_resume_option(parser)
    add_state_option(parser)
    add_transfer_options(parser)
    add_cloud_options(parser)


def handle(arguments: argparse.Namespace, console: Console) -> Result:
    """Make a snapshot of an image."""
    path: Path = arguments.image
    tags = parse_tags(arguments.tag)
    with ImageSource.open(path) as source, ExitStack() as stack:
        check_raw(find_format(source), source.label)
        request = SnapshotRequest(
            volume_size=volume_size(source.size),
            description=arguments.description,
            tags=tags,
        )
        cloud = open_cloud(arguments)
        store = open_snapshots(cloud)
        file = open_state(stack, arguments, cloud, str(path.resolve()), console)
        log = SnapshotLog(file, describe_image(source, request))
        written = snapshot_image(
            source,
            request,
            store,
            log,
            earlier=None if arguments.no_resume else load(log, console),
            new_token=new_token,
            progress=console,
        )
        say_written(written, cloud, console)
        state = wait(store, written.snapshot_id, console, no_wait=arguments.no_wait)
        log.finish()
    return Result(
        text=written.snapshot_id, facts=snapshot_facts(written, request, cloud, state=state)
    )


def open_snapshots(cloud: Cloud) -> EbsSnapshotStore:
    """The snapshots of the account and region."""
    return EbsSnapshotStore(cloud.ebs(), cloud.ec2(), cloud.transport)


def open_state(
    stack: ExitStack, arguments: argparse.Namespace, cloud: Cloud, what: str, console: Console
) -> StateFile | None:
    """Where it is kept what is done; without a place to keep it there is no resuming."""
    name = state_name(what, cloud.region, cloud.endpoint_url)
    return open_state_file(stack, arguments, console, name, "writing this snapshot")


def load(log: SnapshotLog, console: Console) -> EarlierSnapshot | None:
    """What an interrupted run has left."""
    earlier = log.load()
    if isinstance(earlier, EarlierSnapshot):
        console.note("resuming: blocks that EBS has taken already are not sent again")
        return earlier
    if earlier:
        console.warn(f"an earlier run was interrupted, but {earlier}: a new snapshot is started")
    return None


def new_token() -> str:
    """A client token that nobody else has."""
    return secrets.token_hex(16)


def say_written(written: WrittenSnapshot, cloud: Cloud, console: Console) -> None:
    """Tell a person what was done."""
    words = f"{written.sent_count} blocks of 512 KiB sent"
    if held := written.block_count - written.sent_count:
        words += f", {held} were there already"
    if count := cloud.transport.retry_count:
        words += f", {count} requests repeated"
    console.note(words)


def wait(
    store: EbsSnapshotStore, snapshot_id: str, console: Console, *, no_wait: bool
) -> SnapshotState:
    """Wait until a sealed snapshot is completed, unless nobody wants that; its state."""
    if no_wait:
        return SnapshotState.PENDING
    console.note(f"waiting until snapshot {snapshot_id} is completed")
    patience = Patience(
        sleep=time.sleep,
        clock=time.monotonic,
        timeout=SNAPSHOT_TIMEOUT,
        tell=lambda state: console.note(f"{snapshot_id}: {state}"),
    )
    wait_for_snapshots(
        lambda ids: tuple(one for one in map(store.describe, ids) if one), [snapshot_id], patience
    )
    return SnapshotState.COMPLETED


def snapshot_facts(
    written: WrittenSnapshot, request: SnapshotRequest, cloud: Cloud, *, state: SnapshotState
) -> dict[str, object]:
    """What programs want to know of it; the size in GiB."""
    return {
        "snapshot_id": written.snapshot_id,
        "state": state.value,
        "volume_size": request.volume_size,
        "block_count": written.block_count,
        "sent_count": written.sent_count,
        "retry_count": cloud.transport.retry_count,
    }
