"""An fstab for an image: the volume's own adapted, a new one, or a given one checked."""

from bundler.codec.fstab import (
    FstabLine,
    comment_line,
    entry_line,
    parse_fstab,
    render_fstab,
    with_fields,
    without_effect,
)
from bundler.model.disk import Disk, Partition, PartitionRole
from bundler.model.file_system import FileSystemType
from bundler.model.volume import Volume
from bundler.workflow.fstab_entries import (
    is_instance_store,
    is_local,
    is_named_by,
    is_type_right,
    judge,
    shown,
    source_of,
)

_AUTHOR = "ami-bundler"


def adapt_fstab(fstab: bytes, disk: Disk, volume: Volume) -> tuple[bytes, tuple[str, ...]]:
    """The volume's fstab as it is right in the image, and a note for each change.

    What needs no change stays byte by byte.  An entry that is changed or commented out has a
    line above it that says why.  Partitions of the image that the file does not mount get an
    entry at its end: without one for "/", systemd leaves the root as the kernel mounted it,
    read-only as a rule.

    Raises:
        InputError: more than MAX_FSTAB_SIZE bytes.
    """
    lines: list[FstabLine] = []
    notes: list[str] = []
    mounted = set()
    for number, line in enumerate(parse_fstab(fstab), 1):
        entry = line.entry
        if entry is None:
            lines.append(line)
            notes += [f"/etc/fstab line {number}: no entry; left as it is"] * line.is_rubbish
            continue
        verdict = judge(entry, disk, volume)
        if not verdict.is_commented_out:
            mounted.add(entry.mount_point)
        if verdict.note:
            notes.append(f"/etc/fstab line {number}: {shown(entry.mount_point)}: {verdict.note}")
        if verdict.is_commented_out or verdict.changed:
            lines.append(comment_line(f"{_AUTHOR}: {verdict.note}"))
        if verdict.is_commented_out:
            line = without_effect(line)
        elif verdict.changed:
            new = verdict.changed
            line = with_fields(line, source=new.source, type_=new.type, options=new.options)
        lines.append(line)
    for partition in _mounted_partitions(disk):
        if partition.mount_point not in mounted:
            what = f"added: there was no entry for {shown(partition.mount_point)}"
            lines += [comment_line(f"{_AUTHOR}: {what}"), _new_line(partition)]
            notes.append(f"/etc/fstab: {what}")
    return render_fstab(tuple(lines)), tuple(notes)


def generate_fstab(disk: Disk) -> bytes:
    """A new fstab, which mounts the image's partitions and nothing else."""
    lines = [comment_line(f"/etc/fstab of an image that {_AUTHOR} made; see fstab(5)")]
    lines += map(_new_line, _mounted_partitions(disk))
    return render_fstab(tuple(lines))


def check_fstab(fstab: bytes, disk: Disk) -> tuple[str, ...]:
    """What is doubtful about an fstab that a person gives for an image.

    Raises:
        InputError: more than MAX_FSTAB_SIZE bytes.
    """
    notes = []
    mounted = set()
    for number, line in enumerate(parse_fstab(fstab), 1):
        mounted.add(line.entry.mount_point if line.entry else "")
        doubt = _doubt(line, disk)
        if doubt:
            notes.append(f"--fstab line {number}: {doubt}")
    missing = (one.mount_point for one in _mounted_partitions(disk))
    notes += [f"--fstab: mounts nothing on {shown(one)}" for one in missing if one not in mounted]
    return tuple(notes)


def note_mappings(*, crypttab: bytes = b"", mdadm: bytes = b"") -> tuple[str, ...]:
    """What a person should know of /etc/crypttab and mdadm.conf, which are left as they are."""
    mappings = _first_words(crypttab)
    arrays = [line for line in _first_words(mdadm) if line.upper() == "ARRAY"]
    notes = []
    if mappings:
        names = ", ".join(shown(one) for one in mappings[:8])
        notes.append(f"/etc/crypttab: kept, but no device of {names} is in the image")
    if arrays:
        notes.append(f"mdadm.conf: kept, but none of its {len(arrays)} arrays is in the image")
    return tuple(notes)


def _mounted_partitions(disk: Disk) -> list[Partition]:
    """Those with a place in the image, and something to find them by; outer ones first."""
    found = [one for one in disk.partitions if one.mount_point and source_of(one)]
    return sorted(found, key=lambda one: one.mount_point)


def _new_line(partition: Partition) -> FstabLine:
    file_system = partition.file_system
    kind = file_system.type if file_system else None
    options, check = "defaults", "1" if partition.role is PartitionRole.ROOT else "2"
    if partition.role is PartitionRole.ESP:
        # Only updates of the boot loader need it mounted.
        options = "umask=0077,nofail" if kind is FileSystemType.VFAT else "nofail"
    if kind in (FileSystemType.XFS, FileSystemType.BTRFS):
        check = "0"  # fsck does nothing for them
    where, what = partition.mount_point, kind.value if kind else "auto"
    return entry_line(source_of(partition), where, what, options, "0", check)


def _doubt(line: FstabLine, disk: Disk) -> str:
    """Why a line may not do at launch what it should; empty: nothing is known against it."""
    entry = line.entry
    if entry is None:
        return "is no entry" if line.is_rubbish else ""
    source, partition = shown(entry.source), disk.at(entry.mount_point)
    if partition and partition.file_system and entry.type != "swap":
        if not is_named_by(entry.source, partition):
            return f"{source} is not the image's {shown(entry.mount_point)}: {source_of(partition)}"
        if not is_type_right(entry, partition.file_system):
            kind = partition.file_system.type
            return f"{shown(entry.mount_point)} is {kind}, not {shown(entry.type)}"
        return ""
    if entry.may_fail:
        return ""
    if is_instance_store(entry, disk, None):
        return f"{source} may be missing at launch; the option nofail lets an instance start"
    known = any(is_named_by(entry.source, one) for one in disk.partitions)
    if is_local(entry) and not known and not entry.source.startswith("/dev/zram"):
        return f"{source} is not in the image; the option nofail lets an instance start"
    return ""


def _first_words(data: bytes) -> list[str]:
    lines = (line.split() for line in data.decode(errors="replace").splitlines()[:10_000])
    return [words[0] for words in lines if words and not words[0].startswith("#")]
