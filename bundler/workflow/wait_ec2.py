"""Wait until instances run and snapshots are complete."""

from collections.abc import Callable, Sequence

from bundler.errors import AwsRefusedError, TransferError
from bundler.model.instance import Instance, SnapshotState
from bundler.workflow.wait import Patience, wait_until

LookAtInstances = Callable[[Sequence[str]], tuple[Instance, ...]]
"""DescribeInstances of these ids; those that EC2 does not know yet are left out."""

LookAtSnapshots = Callable[[Sequence[str]], tuple[SnapshotState, ...]]
"""DescribeSnapshots of these ids; those that EC2 does not know yet are left out."""

_STARTING = "pending"
_RUNNING = "running"
_FAILED_SNAPSHOTS = ("error", "recoverable", "recovering")


def wait_until_running(
    look_at: LookAtInstances, instance_ids: Sequence[str], patience: Patience, remedy: str = ""
) -> tuple[Instance, ...]:
    """Wait until instances that were just launched run; `remedy` is told when one does not.

    Raises:
        AwsRefusedError: one has ended instead.
        TransferError: EC2 could not be reached, or they did not all run in time.
    """
    names = ", ".join(instance_ids)

    def look() -> tuple[tuple[Instance, ...] | None, str]:
        instances = look_at(instance_ids)
        for one in instances:
            if one.state not in (_STARTING, _RUNNING):
                reason = one.state_reason or "EC2 gives no reason"
                raise AwsRefusedError(
                    f"wait for instance {one.instance_id}: expected it to run, got {one.state}: "
                    f"{reason.rstrip('.')}{f'; {remedy}' if remedy else ''}"
                )
        running = [one for one in instances if one.state == _RUNNING]
        if len(running) == len(instance_ids):
            return instances, ""
        if not instances:
            return None, "unknown to EC2"
        return None, f"{len(running)} of {len(instance_ids)} running"

    def too_late(state: str) -> TransferError:
        return TransferError(
            f"wait for instances {names}: they are launched, but after {patience.timeout:g} "
            f"seconds: {state}; look again later"
        )

    return wait_until(look, patience, too_late)


def wait_for_snapshots(
    look_at: LookAtSnapshots, snapshot_ids: Sequence[str], patience: Patience
) -> None:
    """Wait until snapshots are complete.

    Raises:
        AwsRefusedError: one has failed.
        TransferError: EC2 could not be reached, or they were not complete in time.
    """

    def look() -> tuple[bool | None, str]:
        states = look_at(snapshot_ids)
        for one in states:
            if one.state in _FAILED_SNAPSHOTS:
                raise AwsRefusedError(
                    f"wait for snapshot {one.snapshot_id}: expected it to be completed, got "
                    f"{one.state}: {one.message or 'EC2 gives no reason'}"
                )
        is_done = sum(one.state == "completed" for one in states) == len(snapshot_ids)
        return (True if is_done else None), describe_progress(states)

    def too_late(state: str) -> TransferError:
        return TransferError(
            f"wait for snapshots {', '.join(snapshot_ids)}: after {patience.timeout:g} seconds "
            f"they are not complete: {state or 'unknown to EC2'}; look again later"
        )

    wait_until(look, patience, too_late)


def describe_progress(states: Sequence[SnapshotState]) -> str:
    """How far snapshots are on average, in words; empty when there are none."""
    if not states:
        return ""
    done = [100 if one.state == "completed" else one.progress for one in states]
    return f"snapshots {sum(done) // len(done)} %"
