"""Waiting for instances and snapshots: pauses, what is told, and how it ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from bundler.errors import AwsRefusedError, TransferError
from bundler.model.instance import Instance
from bundler.model.snapshot import Snapshot, SnapshotState
from bundler.workflow.wait import Patience
from bundler.workflow.wait_ec2 import wait_for_snapshots, wait_until_running

ONE = Instance(
    instance_id="i-1",
    instance_type="m3.medium",
    state="pending",
    state_reason="",
    root_device_type="instance-store",
    private_address="",
    public_address="",
)
TWO = replace(ONE, instance_id="i-2")
SNAPSHOT = Snapshot(snapshot_id="snap-1", state=SnapshotState.PENDING, progress=10)


@dataclass(slots=True)
class World:
    """Time that passes only in sleep(), and what is told."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self, timeout: float = 600.0) -> Patience:
        return Patience(
            sleep=self.sleep, clock=lambda: self.now, timeout=timeout, tell=self.told.append
        )


def running(instance: Instance) -> Instance:
    return replace(instance, state="running")


def test_instances_are_waited_for_until_all_run() -> None:
    looks: Iterator[tuple[Instance, ...]] = iter(
        [(), (ONE,), (running(ONE), TWO), (running(ONE), TWO), (running(ONE), running(TWO))]
    )
    world = World()
    found = wait_until_running(lambda ids: next(looks), ["i-1", "i-2"], world.patience())
    assert found == (running(ONE), running(TWO))
    assert world.pauses == [2.0, 3.0, 4.5, 6.75]
    assert world.told == ["unknown to EC2", "0 of 2 running", "1 of 2 running"]


@pytest.mark.parametrize("reason", ["Server.InternalError: Internal error on launch", ""])
def test_an_instance_that_ends_ends_the_wait(reason: str) -> None:
    ended = replace(ONE, state="terminated", state_reason=reason)
    words = f"i-1: expected it to run, got terminated: {reason or 'EC2 gives no reason'}"
    with pytest.raises(AwsRefusedError, match=words):
        wait_until_running(lambda ids: (ended,), ["i-1"], World().patience())


def test_the_wait_ends_in_time_and_its_pauses_are_bounded() -> None:
    world = World()
    with pytest.raises(TransferError, match=r"i-1: they are launched.*100 seconds: unknown to EC2"):
        wait_until_running(lambda ids: (), ["i-1"], world.patience(timeout=100))
    assert sum(world.pauses) == 100
    assert max(world.pauses) == 15


def test_snapshots_are_followed() -> None:
    looks = iter(
        [
            (),
            (SNAPSHOT,),
            (replace(SNAPSHOT, progress=99),),
            (replace(SNAPSHOT, state=SnapshotState.COMPLETED, progress=0),),
        ]
    )

    def look(ids: Sequence[str]) -> tuple[Snapshot, ...]:
        assert ids == ["snap-1"]
        return next(looks)

    world = World()
    wait_for_snapshots(look, ["snap-1"], world.patience())
    assert world.told == ["snapshots 10 %", "snapshots 99 %"]


def test_a_snapshot_that_fails_ends_the_wait() -> None:
    failed = replace(SNAPSHOT, state=SnapshotState.ERROR, message="the KMS key is disabled")
    with pytest.raises(AwsRefusedError, match=r"snap-1: .* got error: the KMS key is disabled"):
        wait_for_snapshots(lambda ids: (failed,), ["snap-1"], World().patience())
    with pytest.raises(TransferError, match=r"snap-1: after 5 seconds .*: snapshots 10 %"):
        wait_for_snapshots(lambda ids: (SNAPSHOT,), ["snap-1"], World().patience(timeout=5))


def test_no_snapshots_are_complete() -> None:
    world = World()
    wait_for_snapshots(lambda ids: (), [], world.patience())
    assert world.pauses == []
