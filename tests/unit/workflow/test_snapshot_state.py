"""What is remembered of a snapshot that is being written."""

from pathlib import Path

from bundler.host.state_file import StateFile
from bundler.workflow.snapshot_state import EarlierSnapshot, SnapshotLog


def test_the_last_edited_snapshot_counts(tmp_path: Path) -> None:
    """EBS may have given up the one before, of which no AMI can be."""
    with StateFile.open(tmp_path / "state", work="writing") as file:
        log = SnapshotLog(file, {})
        log.begin("token")
        log.keep_id("snap-1")
        log.keep_edited("snap-2")
        log.keep_edited("snap-3")
        earlier = log.load()
    assert isinstance(earlier, EarlierSnapshot)
    assert earlier.snapshot_ids == {"snap-1", "snap-3"}
