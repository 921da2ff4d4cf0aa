"""The volume that is imaged: what is mounted where, and on what disk."""

from dataclasses import dataclass

from bundler.model.file_system import FileSystem
from bundler.model.partition_table import PartitionScheme


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/self/mountinfo.  Source: proc(5)."""

    mount_id: int
    parent_id: int
    device_number: str
    """Such as "259:1"."""
    root: str
    """The path within the file system that is mounted; "/" but for bind mounts and subvolumes."""
    mount_point: str
    type: str
    """The kernel's word, such as "ext4", "fuse.sshfs" or "tmpfs"."""
    source: str
    """A device, or whatever stands in its place."""
    options: tuple[str, ...]
    """Those of the mount, then those of the file system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMount:
    """A mounted file system whose files are copied."""

    path: str
    """Where it is in the volume: "/" or such as "/boot"."""
    mount_point: str
    """Where it is on this machine."""
    device: str
    """Such as "/dev/nvme0n1p1"; empty when it has none, or none that can be found."""
    file_system: FileSystem
    """What is made in its place; the nearest type where the source's cannot be made."""
    type: str
    """The kernel's word for what the source is."""
    partition_uuid: str = ""
    """PARTUUID; empty when it is no partition."""
    subvolume: str = ""
    """Of btrfs, the subvolume's path; empty at the top, and elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutMount:
    """A mounted file system whose files are not copied; the directory it is mounted on is."""

    path: str
    type: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as it is before it is copied."""

    path: str
    """Absolute, without symbolic links."""
    is_mount_point: bool
    mounts: tuple[SourceMount, ...]
    """The volume's own first, then by path, so that what is mounted inside another comes later."""
    left_out: tuple[LeftOutMount, ...]
    scheme: PartitionScheme | None
    """Of the disk that has the volume's file system; None: there is no table, or no disk."""
    disk_id: str = ""
    """The GPT's disk GUID, or the MBR's eight hexadecimal digits."""

    @property
    def root(self) -> SourceMount:
        """The volume's own file system."""
        return self.mounts[0]
