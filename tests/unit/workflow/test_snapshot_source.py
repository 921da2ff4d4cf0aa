"""A snapshot as what a bundle is made from, against one in memory."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field

import pytest

from bundler.errors import AwsRefusedError, BundlerError, HostError, TransferError
from bundler.model.bundle import MIB, BundleKey, Extent
from bundler.model.image import Architecture
from bundler.model.snapshot import BLOCK_SIZE, GIB, Snapshot, SnapshotState
from bundler.workflow.bundle_image import BundleKeys, BundleSpec, bundle_image, plan_bundle
from bundler.workflow.snapshot_source import SnapshotSource
from tests.support.bundles import (
    ACCOUNT,
    EC2_CERT,
    SECRET_IV,
    SECRET_KEY,
    USER_KEY,
    CountingProgress,
    MemorySink,
    load_certificate,
    load_key,
)
from tests.support.images import random_bytes

ONE_GIB = Snapshot(snapshot_id="snap-1", state=SnapshotState.COMPLETED, volume_size=1)
LAST = GIB // BLOCK_SIZE - 1


@dataclass(slots=True, kw_only=True)
class MemoryBlocks:
    """A SnapshotBlocks; `hangs_at` is the block that comes only when it is cancelled."""

    blocks: dict[int, bytes]
    hangs_at: int = -1
    cancelled: threading.Event = field(default_factory=threading.Event)

    def read_block(self, snapshot_id: str, index: int) -> bytes | None:
        return self.blocks.get(index)

    def list_blocks(self, snapshot_id: str) -> Iterator[int]:
        return iter(sorted(self.blocks))

    def read_blocks(
        self, snapshot_id: str, indexes: Iterable[int]
    ) -> Generator[bytes | None, None, None]:
        for index in indexes:
            if index == self.hangs_at:
                assert self.cancelled.wait(60), "nobody has cancelled it"
                raise CancelledError
            yield self.blocks.get(index)

    def cancel(self) -> None:
        self.cancelled.set()


def test_a_block_that_is_listed_no_more_is_no_hole() -> None:
    reader = MemoryBlocks(blocks={3: block_of(9, 1), 8: block_of(9, 2), 9: block_of(9, 3)})
    source = SnapshotSource(reader, ONE_GIB)
    extents = source.extents(dig_holes=False)
    del reader.blocks[8]
    with pytest.raises(TransferError, match="expected block 8, which EBS has listed, got no such"):
        list(source.read(extents))


def block_of(size: int, seed: int) -> bytes:
    """A block with data in its first bytes only."""
    return random_bytes(size, seed).ljust(BLOCK_SIZE, b"\0")


def test_it_is_a_volume_with_holes() -> None:
    blocks = {0: block_of(5000, 1), 3: bytes(BLOCK_SIZE), 4: block_of(BLOCK_SIZE, 2)}
    blocks[LAST] = bytes(BLOCK_SIZE - 10) + b"0123456789"
    source = SnapshotSource(MemoryBlocks(blocks=blocks), ONE_GIB)
    assert source.size == GIB
    written = source.extents(dig_holes=False)
    assert written == (
        Extent(offset=0, size=BLOCK_SIZE),
        Extent(offset=3 * BLOCK_SIZE, size=2 * BLOCK_SIZE),
        Extent(offset=LAST * BLOCK_SIZE, size=BLOCK_SIZE),
    )
    assert b"".join(source.read(written)) == b"".join(blocks[index] for index in (0, 3, 4, LAST))
    assert source.extents(dig_holes=True) == (
        Extent(offset=0, size=8192),
        Extent(offset=4 * BLOCK_SIZE, size=BLOCK_SIZE),
        Extent(offset=GIB - 4096, size=4096),
    )
    assert source.read_at(GIB - 5, 100) == b"56789"
    assert source.read_at(GIB, 1) == source.read_at(-1, 1) == b""
    assert source.read_at(BLOCK_SIZE - 1, 2) == b"\0\0"


@pytest.mark.parametrize("start", [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1])
@pytest.mark.parametrize("size", [1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE])
def test_any_extents_can_be_read(start: int, size: int) -> None:
    """Those of a state file, too; what was never written is zeros."""
    blocks = {0: block_of(BLOCK_SIZE, 3), 2: block_of(BLOCK_SIZE, 4)}
    source = SnapshotSource(MemoryBlocks(blocks=blocks), ONE_GIB)
    volume = blocks[0] + bytes(BLOCK_SIZE) + blocks[2] + bytes(2 * BLOCK_SIZE)
    extents = (Extent(offset=start, size=size), Extent(offset=start + size, size=7))
    assert b"".join(source.read(extents)) == volume[start : start + size + 7]


def test_a_block_behind_the_volume_is_no_block() -> None:
    source = SnapshotSource(MemoryBlocks(blocks={LAST + 1: bytes(BLOCK_SIZE)}), ONE_GIB)
    with pytest.raises(TransferError, match=f"expected blocks of {GIB} bytes, got block 2048"):
        source.extents(dig_holes=False)


def snapshot(state: str, *, size: int = 1, message: str = "", archived: bool = False) -> Snapshot:
    return Snapshot(
        snapshot_id="snap-1",
        state=SnapshotState(state),
        volume_size=size,
        message=message,
        is_archived=archived,
    )


@pytest.mark.parametrize(
    ("found", "pattern"),
    [
        (snapshot("pending"), r"expected it to be completed, got pending; wait until it is"),
        (snapshot("error", message="No key"), r"got error \(No key\); it must be .*made anew"),
        (snapshot("recoverable"), r"got recoverable; it must be recovered"),
        (snapshot("completed", archived=True), r"got an archived one; restore it"),
        (snapshot("completed", size=0), r"does not tell the size"),
    ],
)
def test_snapshots_of_which_ebs_gives_no_blocks(found: Snapshot, pattern: str) -> None:
    with pytest.raises(AwsRefusedError, match=rf"read snapshot snap-1: .*{pattern}"):
        SnapshotSource(MemoryBlocks(blocks={}), found)


class FullSink(MemorySink):
    """No part can be stored."""

    def put_part(self, index: int, data: bytes, digest: object) -> None:
        raise HostError("the disk is full")


def test_a_run_that_fails_does_not_wait_for_the_network() -> None:
    blocks = {index: block_of(BLOCK_SIZE, index) for index in range(21)}
    reader = MemoryBlocks(blocks=blocks, hangs_at=20)
    plan = plan_bundle(SnapshotSource(reader, ONE_GIB), dig_holes=False, allow_large=False)
    spec = BundleSpec(
        name="image", account=ACCOUNT, architecture=Architecture.X86_64, part_size=MIB
    )
    failures: list[BundlerError] = []

    def run() -> None:
        try:
            bundle_image(
                plan,
                spec,
                BundleKeys(user=load_key(USER_KEY), ec2=load_certificate(EC2_CERT)),
                FullSink(),
                secret=BundleKey(key=SECRET_KEY, iv=SECRET_IV),
                workers=1,
                progress=CountingProgress(),
            )
        except HostError as error:
            failures.append(error)

    in_time(run)
    assert [str(failure) for failure in failures] == ["the disk is full"]


def in_time(run: Callable[[], None]) -> None:
    """Run what must end by itself, well before what it hangs at gives up."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
