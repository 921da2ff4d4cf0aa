"""Which mounts of a volume are copied, and why others are not."""

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.codec.mountinfo import ancestors
from bundler.model.block_device import BlockDevice
from bundler.model.instance_store import INSTANCE_STORE_MODEL, is_instance_store_name
from bundler.model.volume import Mount
from bundler.workflow.source_devices import SourceDevices

NETWORK_TYPES = frozenset(
    (
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.davfs2",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.mount-s3",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "sshfs",
        "virtiofs",
        "wekafs",
    )
)
"""Types whose files are on other machines, or on a disk that several machines share."""

IMAGE_TYPES = frozenset(("cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"))
"""Types that can only be read, of images and discs."""

DISK_TYPES_WITHOUT_NUMBER = frozenset(("bcachefs", "btrfs", "zfs"))
"""Types of disks whose mounts do not have their device's number."""

NEVER_COPIED = ("/dev", "/media", "/mnt", "/proc", "/run", "/sys", "/tmp")  # noqa: S108  names
"""Directories whose contents are always left out."""

BOOT_POINTS = ("/boot", "/boot/efi", "/boot/firmware", "/efi")
"""Where an operating system's boot files are, on whatever disk."""

INSTANCE_STORE_REASON = "instance store volume"

_BLOCK_TYPE_OF_LOOP = "loop"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRules:
    """What is known of the volume before its mounts are judged."""

    own: Mount
    """The mount that the volume is, or lies on."""
    devices: SourceDevices
    all_mounts: bool
    """Whether file systems of other disks are copied as well."""

    def reason(self, mount: Mount, path: str) -> str:
        """Why a mount at that path of the volume is left out; empty: it is copied."""
        if mount.type in NETWORK_TYPES:
            return f"network file system ({mount.type})"
        if mount.type.startswith("fuse"):
            return f"file system of a program ({mount.type})"
        if not _is_of_disk(mount):
            return f"no file system of a disk ({mount.type})"
        if mount.type in IMAGE_TYPES:
            return f"file system of an image or disc ({mount.type})"
        never = next((one for one in (path, *ancestors(path)) if one in NEVER_COPIED), "")
        device = self.devices.of(mount)
        if self._is_instance_store(mount, device):
            return INSTANCE_STORE_REASON
        if never:
            return f"contents of {never} are never copied"
        return self._reason_of_content(mount, path) or self._reason_of_disk(mount, path, device)

    def _reason_of_content(self, mount: Mount, path: str) -> str:
        """Whether the same files are elsewhere, too, or are older versions of others."""
        subvolume = subvolume_of(mount)
        if mount.root != (f"/{subvolume}" if subvolume else "/") and mount.type != "zfs":
            return "bind mount of a directory or file"
        is_same = (mount.device_number, mount.root) == (self.own.device_number, self.own.root)
        is_own_again = mount.device_number == self.own.device_number
        if is_same or (is_own_again and mount.type not in DISK_TYPES_WITHOUT_NUMBER):
            return "the volume's file system once more"
        if mount.type == "btrfs" and path.endswith("/.snapshots"):
            return "snapshots of the volume"
        return ""

    def _reason_of_disk(self, mount: Mount, path: str, device: BlockDevice | None) -> str:
        if path in BOOT_POINTS or self._is_on_own_disk(mount, device):
            return ""
        if device and any(one.type == _BLOCK_TYPE_OF_LOOP for one in self.devices.disks(device)):
            return "file system of an image file"
        if self.all_mounts:
            return ""
        return "on another disk than the volume"

    def _is_on_own_disk(self, mount: Mount, device: BlockDevice | None) -> bool:
        if mount.source == self.own.source or mount.device_number == self.own.device_number:
            return True
        if mount.type == self.own.type == "zfs":
            return _pool(mount) == _pool(self.own)
        own = self.devices.of(self.own)
        if not own or not device:
            return False
        numbers = {one.number for one in self.devices.disks(own)}
        return any(one.number in numbers for one in self.devices.disks(device))

    def _is_instance_store(self, mount: Mount, device: BlockDevice | None) -> bool:
        """The root of an S3-backed instance may be one as well: its own disk counts as none."""
        if self._is_on_own_disk(mount, device):
            return False
        if device and any(one.model == INSTANCE_STORE_MODEL for one in self.devices.disks(device)):
            return True
        if self.all_mounts:
            return False  # EBS volumes may have such names, too
        return is_instance_store_name(mount.source, beside_bare_root=True)


def subvolume_of(mount: Mount) -> str:
    """Of btrfs, the path of the subvolume; empty at the top, and of other types."""
    if mount.type != "btrfs":
        return ""
    found = (word.removeprefix("subvol=") for word in mount.options if word.startswith("subvol="))
    return next(found, mount.root).strip("/")


def own_mount(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that a path is, or lies on; None: on none that is known."""
    by_point = {mount.mount_point: mount for mount in mounts}
    return next((by_point[one] for one in (path, *ancestors(path)) if one in by_point), None)


def is_below(path: str, directory: str) -> bool:
    """Whether a path is deeper in the tree than a directory; both absolute."""
    return path != directory and path.startswith("/" if directory == "/" else f"{directory}/")


def _is_of_disk(mount: Mount) -> bool:
    if mount.type in DISK_TYPES_WITHOUT_NUMBER:
        return True
    return not mount.device_number.startswith("0:")


def _pool(mount: Mount) -> str:
    return mount.source.partition("/")[0]
