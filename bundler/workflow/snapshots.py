"""Which snapshot a mounted file system is copied from, if any."""

from bundler.errors import UsageError
from bundler.model.file_system import FileSystemType
from bundler.model.volume import SourceMount
from bundler.workflow.image_options import SnapshotKind


def snapshot_kind(wanted: SnapshotKind, mount: SourceMount) -> SnapshotKind:
    """The kind that it is; NONE: the file system itself is copied.

    Raises:
        UsageError: the volume's own file system cannot have the snapshot that is asked for.
    """
    is_btrfs = mount.type == FileSystemType.BTRFS.value
    if wanted is SnapshotKind.BTRFS and mount.path == "/" and not is_btrfs:
        raise UsageError(
            f"--snapshot btrfs: expected {mount.mount_point} to be btrfs, got {mount.type}"
        )
    is_taken = is_btrfs and wanted in (SnapshotKind.BTRFS, SnapshotKind.AUTO)
    return SnapshotKind.BTRFS if is_taken else SnapshotKind.NONE
