"""What convert says and does about mounts of instance store volumes."""

import argparse

from bundler.aws.ebs import EbsSnapshotStore
from bundler.aws.ebs_reader import EbsBlockReader
from bundler.cli.console import Console
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.described_image import DescribedImage
from bundler.model.snapshot import SnapshotRequest
from bundler.workflow.edit_snapshot import edit_snapshot
from bundler.workflow.fstab import Fstab, find_fstab, plan_removal
from bundler.workflow.register import NAME_IS_TAKEN
from bundler.workflow.snapshot_bytes import SnapshotBytes
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog


def add_fstab_option(parser: argparse.ArgumentParser) -> None:
    """--remove-ephemeral-mounts."""
    parser.add_argument(
        "--remove-ephemeral-mounts",
        action="store_true",
        help="take the lines that mount instance store volumes out of the image's /etc/fstab",
    )


def find_snapshot_fstab(reader: EbsBlockReader, snapshot_id: str, console: Console) -> Fstab | None:
    """The fstab in a snapshot, if one can be read; that it may not be read is a warning."""
    try:
        return find_fstab(SnapshotBytes(reader, snapshot_id).read)
    except (AwsRefusedError, TransferError) as error:
        console.warn(f"whether /etc/fstab mounts instance store volumes is not known: {error}")
        return None


def remove_mounts(
    snapshot_id: str,
    request: SnapshotRequest,
    reader: EbsBlockReader,
    store: EbsSnapshotStore,
    log: SnapshotLog,
) -> tuple[str, Fstab | None]:
    """A snapshot without those mounts, the same one if it has none; and the fstab as it was.

    Raises:
        InputError: the fstab cannot be changed.
        AwsRefusedError, TransferError: EBS refuses, or cannot be reached.
        HostError: the state cannot be written.
    """
    fstab = find_fstab(SnapshotBytes(reader, snapshot_id).read)
    changes = plan_removal(fstab)
    if not changes:
        return snapshot_id, fstab
    edited_id = edit_snapshot(snapshot_id, changes, request, reader, store)
    log.keep_edited(edited_id)
    return edited_id, fstab


def find_made(
    ami: DescribedImage,
    earlier: EarlierSnapshot,
    reader: EbsBlockReader,
    console: Console,
    *,
    removes_mounts: bool,
) -> dict[str, object]:
    """What programs want to know of the snapshot of an AMI that an earlier run has registered.

    Raises:
        AwsRefusedError: it has the mounts that were to be removed.
    """
    snapshot_id = next(one for one in ami.snapshot_ids if one in earlier.snapshot_ids)
    fstab = find_snapshot_fstab(reader, snapshot_id, console)
    if removes_mounts and fstab and fstab.ephemeral_lines:
        raise AwsRefusedError(
            f"convert: {ami.image_id} is what an earlier run has made, and its /etc/fstab mounts "
            "instance store volumes: deregister it for one without, or leave out "
            "--remove-ephemeral-mounts",
            code=NAME_IS_TAKEN,
        )
    tell_fstab(fstab, console, is_removed=False)
    return {"snapshot_id": snapshot_id, **fstab_facts(fstab, is_removed=False)}


def tell_fstab(fstab: Fstab | None, console: Console, *, is_removed: bool) -> None:
    """Tell of what a new instance may wait for in vain, or of what was taken out."""
    for line in fstab.ephemeral_lines if fstab else ():
        if is_removed:
            console.note(f"taken out of /etc/fstab: {line}")
        else:
            console.warn(
                f"/etc/fstab mounts an instance store volume, which many instance types do not "
                f"have, and an instance may wait for it at boot: {line}; "
                "--remove-ephemeral-mounts takes such lines out"
            )


def fstab_facts(fstab: Fstab | None, *, is_removed: bool) -> dict[str, object]:
    """What programs want to know of it."""
    lines = fstab.ephemeral_lines if fstab else ()
    return {"fstab_lines": list(lines), "fstab_lines_removed": is_removed and bool(lines)}
