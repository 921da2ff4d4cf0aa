"""What is to become of each entry of an fstab in an image: pure judgement, no editing."""

from dataclasses import dataclass

from bundler.codec.fstab import FstabEntry
from bundler.model.disk import Disk, Partition
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.instance_store import is_instance_store_name
from bundler.model.volume import SourceMount, Volume
from bundler.workflow.classify_mounts import INSTANCE_STORE_REASON, NETWORK_TYPES

_TAG_DIRECTORIES = {
    "/dev/disk/by-uuid/": "UUID",
    "/dev/disk/by-label/": "LABEL",
    "/dev/disk/by-partuuid/": "PARTUUID",
    "/dev/disk/by-partlabel/": "PARTLABEL",
    "/dev/disk/by-id/": "ID",
}
"""Links that udev makes.  Source: 60-persistent-storage.rules."""

_TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID")

_PSEUDO_TYPES = frozenset(
    (
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fuse",
        "hugetlbfs",
        "mqueue",
        "none",
        "nfsd",
        "overlay",
        "proc",
        "pstore",
        "ramfs",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "usbfs",
    )
)

_GENERAL_OPTIONS = frozenset(
    (
        *("async", "atime", "auto", "defaults", "dev", "diratime", "dirsync", "discard", "exec"),
        *("lazytime", "noatime", "noauto", "nodev", "nodiratime", "noexec", "nofail", "norelatime"),
        *("nosuid", "relatime", "ro", "rw", "strictatime", "suid", "sync", "user", "users"),
    )
)
"""Options of every type of file system.  Source: mount(8)."""

COMMENTED_OUT = "commented out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be done with an entry."""

    note: str = ""
    """Why, in a few words; empty: nothing is to be done or said."""
    is_commented_out: bool = False
    changed: FstabEntry | None = None
    """What it is to be instead."""


KEPT = Verdict()


def judge(entry: FstabEntry, disk: Disk, volume: Volume) -> Verdict:
    """What is to become of an entry of the volume's fstab in the image."""
    partition = disk.at(entry.mount_point)
    if partition and entry.type != "swap":
        return _moved(entry, partition)
    if entry.type == "swap":
        return _judge_swap(entry, disk)
    if not is_local(entry):
        return KEPT
    merged = next((one for one in volume.mounts if one.path == entry.mount_point), None)
    if merged:
        what = "subvolumes become directories: " if merged.subvolume else ""
        return _commented_out(f"{what}its files are in the file system above it")
    if is_instance_store(entry, disk, volume):
        return _may_fail(entry)
    named = _partition_of(entry.source, disk, volume)
    if named and named.file_system and named.file_system.type is FileSystemType.BTRFS:
        return _commented_out("subvolumes become directories")
    if named:
        return _moved(entry, named)
    if entry.may_fail:
        return Verdict(note=f"kept, but {shown(entry.source)} is not in the image")
    return _commented_out(f"its device {shown(entry.source)} is not in the image")


def is_local(entry: FstabEntry) -> bool:
    """Whether it needs a block device of the instance; binds and files of the image do not."""
    if entry.type in NETWORK_TYPES | _PSEUDO_TYPES or entry.type.startswith("fuse."):
        return False
    if not {"bind", "rbind", "_netdev"}.isdisjoint(entry.options):
        return False
    return entry.source.startswith("/dev/") or tag_of(entry.source)[0] in _TAGS


def is_instance_store(entry: FstabEntry, disk: Disk, volume: Volume | None) -> bool:
    """Whether its device is an instance store volume, which not every instance has."""
    if is_instance_store_name(entry.source, beside_bare_root=disk.scheme is None):
        return True
    if volume is None or not entry.source.startswith("/dev/"):
        return False  # a new instance's volume has another UUID, and no label
    reasons = {one.path: one.reason for one in volume.left_out}
    return reasons.get(entry.mount_point) == INSTANCE_STORE_REASON and (
        tag_of(entry.source)[0] not in _TAGS
    )


def tag_of(source: str) -> tuple[str, str]:
    """Such as ("UUID", "..."), also of a link in /dev/disk; two empty ones for other sources."""
    for directory, tag in _TAG_DIRECTORIES.items():
        if source.startswith(directory):
            return tag, source.removeprefix(directory).replace("\\x20", " ").replace("\\x2f", "/")
    tag, separator, value = source.partition("=")
    return (tag, value) if separator and tag in _TAGS else ("", "")


def is_named_by(source: str, partition: Partition) -> bool:
    """Whether a source finds the partition on every instance: by UUID, label or PARTUUID."""
    file_system = partition.file_system
    tag, value = tag_of(source)
    if tag == "UUID" and file_system:
        return value.lower() == file_system.uuid.lower() != ""
    if tag == "LABEL" and file_system:
        return value == file_system.label != ""
    return tag == "PARTUUID" and value.lower() == partition.uuid.lower() != ""


def source_of(partition: Partition) -> str:
    """What finds a partition on every instance; empty when nothing does."""
    file_system = partition.file_system
    if file_system and file_system.uuid:
        return f"UUID={file_system.uuid}"
    if file_system and file_system.label:
        return f"LABEL={file_system.label}"
    return f"PARTUUID={partition.uuid}" if partition.uuid else ""


def is_type_right(entry: FstabEntry, file_system: FileSystem) -> bool:
    """Whether a file system can be mounted as an entry's type; it may be a list."""
    types = entry.type.split(",")
    return entry.type == "" or "auto" in types or file_system.type.value in types


def shown(text: str) -> str:
    """Text of a volume in a message."""
    return "".join(one if one.isprintable() else "?" for one in text)[:200]


def _commented_out(reason: str) -> Verdict:
    return Verdict(note=f"{COMMENTED_OUT}: {reason}", is_commented_out=True)


def _judge_swap(entry: FstabEntry, disk: Disk) -> Verdict:
    if entry.source.startswith("/dev/zram"):
        return KEPT
    if is_instance_store_name(entry.source, beside_bare_root=disk.scheme is None):
        return _may_fail(entry)
    return _commented_out("the image has no swap")


def _may_fail(entry: FstabEntry) -> Verdict:
    if entry.may_fail:
        return KEPT
    options = tuple(one for one in entry.options if one not in ("", "defaults"))
    return Verdict(
        note="nofail added: not every instance has an instance store volume there",
        changed=_entry(entry, options=(*(options or ("defaults",)), "nofail")),
    )


def _moved(entry: FstabEntry, partition: Partition) -> Verdict:
    """The entry as it is right for the partition's file system in the image."""
    file_system = partition.file_system
    if file_system is None:
        return KEPT
    notes, changed = [], entry
    source = source_of(partition)
    if source and not is_named_by(entry.source, partition):
        notes.append(f"its device was {shown(entry.source)}")
        changed = _entry(changed, source=source)
    options = entry.options
    if not is_type_right(entry, file_system):
        notes.append(f"its type was {shown(entry.type)}")
        changed = _entry(changed, type_=file_system.type.value)
        if not (entry.type in ("ext2", "ext3", "ext4") and file_system.type.is_ext):
            options = tuple(one for one in options if _is_general(one))
    options = tuple(one for one in options if not one.startswith(("subvol=", "subvolid=")))
    if options != entry.options:
        notes.append(f"its options were {shown(','.join(entry.options))}")
        changed = _entry(changed, options=options or ("defaults",))
    return Verdict(note="changed: " + ", ".join(notes), changed=changed) if notes else KEPT


def _is_general(option: str) -> bool:
    return option in _GENERAL_OPTIONS or option.startswith(("x-", "comment="))


def _partition_of(source: str, disk: Disk, volume: Volume) -> Partition | None:
    """The image's partition that a source names, by what it is called or was called."""
    for partition in disk.partitions:
        if partition.file_system and is_named_by(source, partition):
            return partition
    paths = (one.path for one in volume.mounts if source and source in (one.device, _old_tag(one)))
    return next(filter(None, map(disk.at, paths)), None)


def _old_tag(mount: SourceMount) -> str:
    return f"PARTUUID={mount.partition_uuid}" if mount.partition_uuid else ""


def _entry(
    entry: FstabEntry,
    *,
    source: str | None = None,
    type_: str | None = None,
    options: tuple[str, ...] | None = None,
) -> FstabEntry:
    return FstabEntry(
        source=entry.source if source is None else source,
        mount_point=entry.mount_point,
        type=entry.type if type_ is None else type_,
        options=entry.options if options is None else options,
    )
