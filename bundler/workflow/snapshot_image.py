"""Raw image or device to EBS snapshot; holes are not even read."""

from collections.abc import Callable, Iterator

from bundler.host.image_file import CHUNK_SIZE, ImageSource
from bundler.model.bundle import Chunk, Extent
from bundler.model.snapshot import SnapshotRequest
from bundler.workflow.ports import Advance, Progress
from bundler.workflow.snapshot_ports import SnapshotStore
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog
from bundler.workflow.write_snapshot import WrittenSnapshot, write_snapshot


def snapshot_image(
    source: ImageSource,
    request: SnapshotRequest,
    store: SnapshotStore,
    log: SnapshotLog,
    *,
    earlier: EarlierSnapshot | None,
    new_token: Callable[[], str],
    progress: Progress,
) -> WrittenSnapshot:
    """Write an image into a snapshot; see write_snapshot().

    Raises:
        InputError: nothing but zeros, or the image changed while it was read.
        AwsRefusedError, TransferError: EBS refuses, or cannot be reached.
        HostError: the image cannot be read, or the state not written.
    """
    extents = source.extents(dig_holes=False)
    total = sum(extent.size for extent in extents)
    with progress.task(f"snapshot of {source.path.name}", total) as advance:
        runs = _read_runs(source, extents, advance)
        return write_snapshot(runs, request, store, log, earlier=earlier, new_token=new_token)


def _read_runs(
    source: ImageSource, extents: tuple[Extent, ...], advance: Advance
) -> Iterator[tuple[int, Chunk]]:
    """The image's data as (offset, bytes)."""
    for extent in extents:
        offset = extent.offset
        # Chunks end where blocks do, so that few blocks are put together from two.
        for chunk in source.read((extent,), lead=offset % CHUNK_SIZE):
            yield offset, chunk
            offset += len(chunk)
            advance(len(chunk))
