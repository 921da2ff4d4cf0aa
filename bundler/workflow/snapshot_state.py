"""What is remembered of a snapshot that is being written, so that no block is sent twice.

A private file of JSON lines: what the snapshot is made from and its client token; then its id,
and the checksum of each block that EBS has taken.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from bundler.host.image_file import ImageSource
from bundler.host.state_file import StateFile, parse_records
from bundler.model.manifest import Manifest
from bundler.model.snapshot import SnapshotRequest

STATE_VERSION = 1
"""Of the file's form; a file of another one is not used."""


def state_name(what: str, region: str, endpoint_url: str) -> str:
    """The name of the state file for what a snapshot is made from, and where."""
    words = f"{endpoint_url}\n{region}\n{what}"
    return sha256(words.encode(errors="surrogateescape")).hexdigest()[:40] + ".snapshot"


def describe_image(source: ImageSource, request: SnapshotRequest) -> dict[str, object]:
    """All that tells one snapshot of an image from another, but the image's content."""
    content = {"size": source.size, "mtime_ns": source.modified_ns, "ctime_ns": source.changed_ns}
    return content | _describe_request(request)


def describe_bundle(
    manifest: Manifest, request: SnapshotRequest, *, partition: str
) -> dict[str, object]:
    """All that tells one snapshot of a bundle from another."""
    content = {
        "size": manifest.size,
        "sha1": manifest.digest.hexdigest,
        "partition": partition,
    }
    return content | _describe_request(request)


def _describe_request(request: SnapshotRequest) -> dict[str, object]:
    return {
        "volume_size": request.volume_size,
        "description": request.description,
        "tags": [list(tag) for tag in request.tags],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierSnapshot:
    """What an interrupted run has left."""

    token: str
    """The client token of its StartSnapshot."""
    snapshot_id: str = ""
    """Empty: the run died before it was told."""
    checksums: Mapping[int, bytes] = field(default_factory=dict)
    """SHA-256s of the blocks that EBS has taken, by index."""
    may_be_complete: bool = False
    edited_id: str = ""
    """The snapshot that was made of it, with changes; empty: none."""

    @property
    def snapshot_ids(self) -> frozenset[str]:
        """Of all that the run has made."""
        return frozenset(filter(None, (self.snapshot_id, self.edited_id)))


class SnapshotLog:
    """The state of one snapshot, in a file or, without one, nowhere; for many threads."""

    def __init__(self, file: StateFile | None, described: Mapping[str, object]) -> None:
        self._file = file
        self._described = described
        self._lock = threading.Lock()

    def load(self) -> EarlierSnapshot | str:
        """The interrupted run that this one continues; else why there is none, empty: no run.

        Raises:
            HostError: the file cannot be read.
        """
        if self._file and self._file.is_too_large():
            return "its state is too large to be read"
        records = parse_records(self._file.lines() if self._file else ())
        if not records or records[0].get("version") != STATE_VERSION:
            return ""
        if records[0].get("described") != self._described:
            return "what it was made from, or what it was to be, is another"
        try:
            earlier = _earlier(records)
        except (KeyError, TypeError, ValueError):
            return "its state cannot be read"
        if self._file:
            self._file.end_broken_line()
        return earlier

    def begin(self, token: str) -> None:
        """Remember a new run before anything is asked of EBS, and forget the one before.

        Raises:
            HostError: the disk is full or refuses.
        """
        head = {"version": STATE_VERSION, "described": self._described, "token": token}
        if self._file:
            self._file.begin(head)

    def keep_id(self, snapshot_id: str) -> None:
        """Remember the snapshot.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._append({"snapshot": snapshot_id})

    def keep_block(self, index: int, checksum: bytes) -> None:
        """Remember a block that EBS has taken.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._append({"block": index, "sha256": checksum.hex()})

    def keep_completing(self) -> None:
        """Remember that all blocks are there, before EBS is asked to seal the snapshot.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._append({"completing": True})

    def keep_edited(self, snapshot_id: str) -> None:
        """Remember the snapshot that is made of the first, before an AMI is made of it.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._append({"edited": snapshot_id})

    def close(self) -> None:
        """Remember nothing more: threads that still wait for EBS may outlive the file."""
        with self._lock:
            self._file = None

    def finish(self) -> None:
        """Forget the run: it is done.

        Raises:
            HostError: the directory refuses.
        """
        if self._file:
            self._file.remove()

    def _append(self, record: Mapping[str, object]) -> None:
        with self._lock:
            if self._file:
                self._file.append(record)


def _earlier(records: list[dict[str, Any]]) -> EarlierSnapshot:
    """What the records of one run say; KeyError, TypeError or ValueError for others' records."""
    return EarlierSnapshot(
        token=str(records[0]["token"]),
        snapshot_id=_last(records, "snapshot"),
        edited_id=_last(records, "edited"),
        checksums={
            int(record["block"]): bytes.fromhex(record["sha256"])
            for record in records
            if "block" in record
        },
        may_be_complete=any("completing" in record for record in records),
    )


def _last(records: list[dict[str, Any]], name: str) -> str:
    """What the last record says that says anything of that name."""
    return next((str(record[name]) for record in reversed(records) if name in record), "")
