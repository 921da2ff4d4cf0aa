"""Bundle to EBS snapshot, as a stream: nothing of it touches the local disk."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain

from bundler.codec.disk import partition_table
from bundler.codec.disk_layout import FIRST_OFFSET, DiskLayout, lay_out_disk
from bundler.errors import AwsRefusedError, InputError
from bundler.model.bundle import BundleKey, Chunk
from bundler.model.described_image import DescribedImage
from bundler.model.image import VirtualizationType
from bundler.model.manifest import Manifest
from bundler.model.partition_table import PartitionScheme
from bundler.model.snapshot import SnapshotRequest
from bundler.workflow.ports import Progress
from bundler.workflow.snapshot_ports import EbsRegistry, SnapshotStore
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog
from bundler.workflow.unbundle import open_image
from bundler.workflow.write_snapshot import WrittenSnapshot, write_snapshot

START_SIZE = 1024
"""Bytes of an image's start that tell of a partition table."""

Runs = Iterable[tuple[int, Chunk]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionPlan:
    """What the image is to become."""

    virtualization_type: VirtualizationType | None
    """Of the AMI; None: an image file is all that is made."""
    scheme: PartitionScheme | None
    """Of the disk that is put around a file system; None: the image stays as it is."""
    is_forced: bool
    """Whether it may be a bare file system all the same."""


def convert_bundle(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    plan: ConversionPlan,
    request: SnapshotRequest,
    store: SnapshotStore,
    log: SnapshotLog,
    *,
    earlier: EarlierSnapshot | None,
    new_token: Callable[[], str],
    workers: int,
    progress: Progress,
) -> WrittenSnapshot:
    """Write the image of a bundle into a snapshot; see write_snapshot().

    `parts` are the parts' bytes, verified, one after another.  The image's start is looked at
    before EBS is asked for anything.  The snapshot is sealed only when the digest of the tar
    stream holds.

    Raises:
        InputError: the archive in the bundle is not one image of the size told, or that image
            is not what the plan needs.
        VerificationError: damaged, wrong key, or the digest of the tar stream does not hold.
        AwsRefusedError, TransferError: AWS refuses, or cannot be reached.
    """
    with (
        progress.task(f"converting {manifest.name}", manifest.bundled_size) as advance,
        closing(open_image(manifest, parts, secret, workers=workers, advance=advance)) as runs,
    ):
        disk = open_disk(runs, manifest, plan)
        return write_snapshot(disk, request, store, log, earlier=earlier, new_token=new_token)


def open_disk(runs: Iterator[tuple[int, Chunk]], manifest: Manifest, plan: ConversionPlan) -> Runs:
    """The data of the disk that an image becomes, when its start allows that.

    Raises:
        InputError: the image is not what the plan needs.
    """
    start, image = peek_start(runs, min(START_SIZE, manifest.size))
    check_start(start, plan)
    return wrap_image(image, manifest, plan.scheme) if plan.scheme else image


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


def disk_size(manifest: Manifest, scheme: PartitionScheme | None) -> int:
    """Bytes of the image, or of the disk around it.

    Raises:
        InputError: the image is too large for such a disk.
    """
    return _lay_out(manifest, scheme).size if scheme else manifest.size


def wrap_image(
    runs: Runs, manifest: Manifest, scheme: PartitionScheme
) -> Iterator[tuple[int, Chunk]]:
    """The data of a disk whose partition has these runs.

    Raises:
        InputError: the image is too large for such a disk.
    """
    layout = _lay_out(manifest, scheme)
    yield 0, layout.head
    for offset, chunk in runs:
        yield FIRST_OFFSET + offset, chunk
    if layout.tail:
        yield layout.tail_offset, layout.tail


def _lay_out(manifest: Manifest, scheme: PartitionScheme) -> DiskLayout:
    # The same bundle gives the same disk, ids included, so that a run can be gone on with.
    return lay_out_disk(manifest.size, scheme, manifest.digest.value)


def check_start(start: bytes, plan: ConversionPlan) -> None:
    """Refuse an image that cannot become what it is to be; `start` is its first START_SIZE bytes.

    Raises:
        InputError: a bare file system for hvm, or a disk that is to be wrapped in another one.
    """
    kind = partition_table(lambda offset, size: start[offset : offset + size])
    if plan.scheme and kind:
        raise InputError(
            f"convert: the image is partitioned already ({kind}): leave out --partition"
        )
    is_hvm = plan.virtualization_type is VirtualizationType.HVM
    if is_hvm and not (kind or plan.scheme or plan.is_forced):
        raise InputError(
            "convert: the image is a bare file system, without a partition table: an hvm instance "
            "boots a partitioned disk with a boot loader and cannot boot it; make the AMI "
            "--virtualization-type paravirtual with --kernel; or let --partition gpt|mbr wrap it, "
            "and install a boot loader yourself; or --force an hvm AMI"
        )


def find_converted(
    registry: EbsRegistry, name: str, earlier: EarlierSnapshot | None
) -> DescribedImage | None:
    """The AMI that an interrupted run has registered after all; None: the name is free.

    Asked before hours are spent on the snapshot.

    Raises:
        AwsRefusedError: another AMI of this account and region has the name.
        TransferError: EC2 cannot be reached.
    """
    ami = registry.find(name)
    if ami is None or (earlier and not earlier.snapshot_ids.isdisjoint(ami.snapshot_ids)):
        return ami
    raise AwsRefusedError(
        f"register AMI {name!r}: expected a free name, got one that {ami.image_id} has; choose "
        "another, or deregister that AMI",
        code="InvalidAMIName.Duplicate",
    )
