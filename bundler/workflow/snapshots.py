"""Snapshots of the mounted file systems of a volume: which there can be, and files in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.errors import UsageError
from bundler.host import btrfs_snapshot, lvm_snapshot
from bundler.model.file_system import FileSystemType
from bundler.model.volume import SourceMount, Volume
from bundler.workflow.image_options import SnapshotKind


def snapshot_kind(wanted: SnapshotKind, volume: Volume, mount: SourceMount) -> SnapshotKind:
    """Which snapshot a file system of the volume is copied from; NONE: from itself.

    Raises:
        UsageError: the volume's own file system cannot have the snapshot that is asked for.
        HostError: LVM cannot be asked.
    """
    found = SnapshotKind.NONE
    if mount.type == FileSystemType.BTRFS.value:
        # One on LVM, too: the kernel takes two btrfs of one UUID for one.
        found = SnapshotKind.BTRFS
    elif wanted in (SnapshotKind.LVM, SnapshotKind.AUTO) and volume.is_mount_point:
        is_logical = lvm_snapshot.find_logical_volume(Path(mount.mount_point)) is not None
        found = SnapshotKind.LVM if is_logical else SnapshotKind.NONE
    if wanted in (found, SnapshotKind.AUTO):
        return found
    if wanted is not SnapshotKind.NONE and mount.path == "/":
        what = "on a logical volume" if wanted is SnapshotKind.LVM else "btrfs"
        got = mount.type if volume.is_mount_point else f"a directory of {mount.type}"
        on = f" on {mount.device}" if mount.device else ""
        raise UsageError(
            f"--snapshot {wanted}: expected {mount.mount_point} to be {what}, got {got}{on}"
        )
    return SnapshotKind.NONE


def check_snapshot(mount: SourceMount, kind: SnapshotKind) -> None:
    """Make sure, as far as can be told beforehand, that there can be one.

    Raises:
        MissingError: a program is not installed.
        HostError: there is no room for it.
    """
    if kind is SnapshotKind.BTRFS:
        btrfs_snapshot.find_btrfs()
    elif kind is SnapshotKind.LVM:
        lvm_snapshot.plan_snapshot(Path(mount.mount_point))


@contextmanager
def snapshot_of(
    mount: SourceMount, kind: SnapshotKind, place: Path
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Where the files of a mounted file system are seen, and notes of what is not seen there.

    `place` is for a mount point, where the kind needs one.

    Raises:
        MissingError: a program is not installed.
        HostError: the snapshot cannot be made, or, when the block ends, was no longer whole.
    """
    point = Path(mount.mount_point)
    if kind is SnapshotKind.BTRFS:
        notes = tuple(
            f"{one}: a subvolume inside {mount.path}, which its snapshot does not have"
            for one in btrfs_snapshot.nested_subvolumes(point)
        )
        with btrfs_snapshot.snapshot(point) as path:
            yield path, notes
    elif kind is SnapshotKind.LVM:
        with lvm_snapshot.mounted_snapshot(point, place, mount.type) as path:
            yield path, ()
    else:
        yield point, ()
