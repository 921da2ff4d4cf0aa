"""Bundle to EBS snapshot, as a stream: nothing of it touches the local disk."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain

from bundler.codec.disk import partition_table
from bundler.errors import AwsRefusedError, InputError
from bundler.model.bundle import BundleKey, Chunk
from bundler.model.ebs_registration import EbsAmi
from bundler.model.image import VirtualizationType
from bundler.model.manifest import Manifest
from bundler.model.snapshot import SnapshotRequest
from bundler.workflow.ports import Progress
from bundler.workflow.snapshot_ports import EbsRegistry, SnapshotStore
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog
from bundler.workflow.unbundle import open_image
from bundler.workflow.write_snapshot import WrittenSnapshot, write_snapshot

START_SIZE = 1024
"""Bytes of an image's start that tell of a partition table."""

Runs = Iterable[tuple[int, Chunk]]


def convert_bundle(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    request: SnapshotRequest,
    store: SnapshotStore,
    log: SnapshotLog,
    *,
    earlier: EarlierSnapshot | None,
    new_token: Callable[[], str],
    check_start: Callable[[bytes], object],
    workers: int,
    progress: Progress,
) -> WrittenSnapshot:
    """Write the image of a bundle into a snapshot; see write_snapshot().

    `parts` are the parts' bytes, verified, one after another.  `check_start` is given the
    image's first START_SIZE bytes before EBS is asked for anything, and may raise.  The
    snapshot is sealed only when the digest of the tar stream holds.

    Raises:
        InputError: the archive in the bundle is not one image of the size told.
        VerificationError: damaged, wrong key, or the digest of the tar stream does not hold.
        AwsRefusedError, TransferError: AWS refuses, or cannot be reached.
    """
    with (
        progress.task(f"converting {manifest.name}", manifest.bundled_size) as advance,
        closing(open_image(manifest, parts, secret, workers=workers, advance=advance)) as runs,
    ):
        start, image = peek_start(runs, min(START_SIZE, manifest.size))
        check_start(start)
        return write_snapshot(image, request, store, log, earlier=earlier, new_token=new_token)


def peek_start(runs: Iterator[tuple[int, Chunk]], size: int) -> tuple[bytes, Runs]:
    """The first `size` bytes of an image, and the runs as if nobody had looked."""
    start = bytearray(size)
    seen: list[tuple[int, Chunk]] = []
    for offset, chunk in runs:
        seen.append((offset, chunk))
        if offset < size:
            piece = chunk[: size - offset]
            start[offset : offset + len(piece)] = piece
        if offset + len(chunk) >= size:
            break
    return bytes(start), chain(seen, runs)


def check_bootable(start: bytes, *, kind: VirtualizationType) -> None:
    """Refuse to make an hvm AMI of an image whose start shows no partition table.

    Raises:
        InputError: it shows none.
    """
    if kind is not VirtualizationType.HVM:
        return
    if not partition_table(lambda offset, size: start[offset : offset + size]):
        raise InputError(
            "convert: the image is a bare file system, without a partition table: an hvm instance "
            "boots a partitioned disk with a boot loader and cannot boot it; make the AMI "
            "--virtualization-type paravirtual with --kernel, or --force an hvm one"
        )


def find_converted(
    registry: EbsRegistry, name: str, earlier: EarlierSnapshot | None
) -> EbsAmi | None:
    """The AMI that an interrupted run has registered after all; None: the name is free.

    Asked before hours are spent on the snapshot.

    Raises:
        AwsRefusedError: another AMI of this account and region has the name.
        TransferError: EC2 cannot be reached.
    """
    ami = registry.find(name)
    if ami is None or (earlier is not None and earlier.snapshot_id in ami.snapshot_ids):
        return ami
    raise AwsRefusedError(
        f"register AMI {name!r}: expected a free name, got one that {ami.image_id} has; choose "
        "another, or deregister that AMI",
        code="InvalidAMIName.Duplicate",
    )
