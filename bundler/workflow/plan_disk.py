"""The disk that an image will be: how large, and what partitions it has."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bundler.codec.disk_layout import FIRST_OFFSET
from bundler.errors import InputError, UsageError
from bundler.model.bundle import MAX_IMAGE_SIZE, MIB
from bundler.model.disk import Disk, Firmware, Partition, PartitionRole, Usage
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.partition_table import PartitionScheme
from bundler.model.volume import SourceMount, Volume

ESP_POINT = "/boot/efi"
"""Where the EFI system partition is mounted if the volume has none."""

BOOT_POINT = "/boot"

HEAD_ROOM = 512 * MIB
"""Least bytes that --size auto leaves free, or a quarter of the data if that is more.  Our
choice: an image's free space is holes, which cost next to nothing, and the root volume of an
S3-backed AMI cannot grow.  Where the limit of 10 GiB leaves less, there is less."""

MIN_ESP_SIZE = 64 * MIB
"""Least bytes of an EFI system partition; our choice, for FAT32 needs half of it."""

_MIN_SIZES = {
    # Source: mkfs.xfs(8) 5.19 and later refuse less than 300 MiB; mkfs.btrfs(8).
    FileSystemType.XFS: 300 * MIB,
    FileSystemType.BTRFS: 256 * MIB,
    FileSystemType.VFAT: MIN_ESP_SIZE,
}
_BYTES_PER_INODE = 16384
"""Of ext file systems.  Source: mke2fs.conf(5), inode_ratio."""

_BLOCK_SIZE, _INODE_SIZE = 4096, 256
"""Of an ext file system that is like no other."""

_NUMBERS = {
    # As Debian's cloud images have them: the root is 1 whatever else there is.
    PartitionRole.ROOT: 1,
    PartitionRole.BIOS_BOOT: 14,
    PartitionRole.ESP: 15,
    PartitionRole.BOOT: 16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """A partition to be, without its place; bytes."""

    role: PartitionRole
    mount_point: str
    file_system: FileSystem | None
    size: int
    usage: Usage = Usage()  # noqa: RUF009  frozen
    uuid: str = ""
    """PARTUUID; empty: a new one."""


def plan_disk(
    volume: Volume,
    usage: Mapping[str, Usage],
    *,
    scheme: PartitionScheme | None,
    firmware: frozenset[Firmware],
    size: int | None,
    allow_large: bool,
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> Disk:
    """Lay out the image of a volume; `usage` tells of each mount point, and of ESP_POINT.

    Without a `scheme` all is in one file system.  Else /boot and the EFI system partition are
    partitions as they are on the volume, and what else is mounted is in the root's, which comes
    last, so that it can grow.  `size` in bytes; None: what is needed, and head room.

    Raises:
        UsageError: `size` is too small.
        InputError: the image would be larger than EC2 takes, unless `allow_large` is given.
    """
    needs = _partitions(volume, usage, scheme, firmware)
    taken = {need.mount_point for need in needs}
    rest = sum((one for point, one in usage.items() if point not in taken), Usage())
    least = round_up(needed_size(volume.root.file_system, rest))
    fixed = FIRST_OFFSET + sum(need.size for need in needs) if scheme is not None else 0
    tail = MIB if scheme is PartitionScheme.GPT else 0
    total = _total_size(fixed + tail, least, rest, size, allow_large=allow_large)
    disk_id = _disk_id(volume, scheme, new_id)
    is_same = scheme is not None and volume.scheme is scheme
    needs.append(
        _Need(
            role=PartitionRole.ROOT,
            mount_point="/",
            file_system=volume.root.file_system,
            usage=rest,
            size=total - fixed - tail,
            uuid=volume.root.partition_uuid if is_same else "",
        )
    )
    if scheme is None:
        partition = _place(needs[0], number=0, offset=0, uuid_="", new_id=new_id)
        return Disk(size=total, scheme=None, id="", partitions=(partition,))
    return Disk(
        size=total, scheme=scheme, id=disk_id, partitions=_lay_out(needs, scheme, disk_id, new_id)
    )


def needed_size(file_system: FileSystem, usage: Usage) -> int:
    """Least bytes of a file system that takes such files, with some room for odd ones."""
    data, inodes = usage.size, usage.inode_count
    kind = file_system.type
    if kind.is_ext:
        inode_size = file_system.inode_size or _INODE_SIZE
        # Inode tables and maps are a fiftieth; more inodes than usual take more.
        size = (data + data // 64) * 50 // 49 + inodes * inode_size
        size += _journal_size(size) + 16 * MIB
    elif kind is FileSystemType.XFS:
        # The log takes 64 MiB, and what is allocated ahead comes back late.
        size = data + data // 8 + inodes * 1024 + 128 * MIB
    elif kind is FileSystemType.BTRFS:
        size = data + data // 8 + inodes * 2048 + 256 * MIB
    else:
        size = data + data // 16 + inodes * 512 + 4 * MIB
    return max(size, _MIN_SIZES.get(kind, 0))


def round_up(size: int) -> int:
    """To whole MiB."""
    return -(-size // MIB) * MIB


def _journal_size(size: int) -> int:
    """At most, in bytes.  Source: mke2fs(8) makes it by the size of the file system."""
    return 128 * MIB if size > 8192 * MIB else 64 * MIB if size > 1024 * MIB else 32 * MIB


def _total_size(
    overhead: int, least: int, usage: Usage, size: int | None, *, allow_large: bool
) -> int:
    wanted = size
    if wanted is None:
        head_room = max(HEAD_ROOM, usage.size // 4)
        wanted = overhead + round_up(least + head_room)
        if not allow_large:
            wanted = min(wanted, max(MAX_IMAGE_SIZE, overhead + least))
    if wanted < overhead + least:
        raise UsageError(
            f"--size: expected at least {(overhead + least) // MIB} MiB for what is copied, "
            f"got {wanted // MIB}"
        )
    if wanted > MAX_IMAGE_SIZE and not allow_large:
        raise InputError(
            f"plan image: EC2 takes S3-backed images of at most {MAX_IMAGE_SIZE // MIB} MiB "
            f"(10 GiB), got {wanted // MIB}; --exclude leaves out what need not be there, "
            "--allow-large is for private clouds"
        )
    return wanted


def _partitions(
    volume: Volume,
    usage: Mapping[str, Usage],
    scheme: PartitionScheme | None,
    firmware: frozenset[Firmware],
) -> list[_Need]:
    """Those in front of the root."""
    if scheme is None:
        return []
    needs = []
    if scheme is PartitionScheme.GPT and Firmware.BIOS in firmware:
        needs.append(_plain(PartitionRole.BIOS_BOOT, MIB))
    mounts = {mount.path: mount for mount in volume.mounts[1:]}
    is_same = volume.scheme is scheme
    esp = next((one for one in mounts.values() if _is_esp(one)), None)
    if Firmware.UEFI in firmware:
        point = esp.path if esp else ESP_POINT
        wanted = esp.file_system if esp else FileSystem(type=FileSystemType.VFAT, label="ESP")
        own = usage.get(point, Usage())
        needs.append(
            _Need(
                role=PartitionRole.ESP,
                mount_point=point,
                file_system=wanted,
                usage=own,
                size=round_up(needed_size(wanted, own) + own.size // 2),
                uuid=esp.partition_uuid if esp and is_same else "",
            )
        )
    boot = mounts.get(BOOT_POINT)
    if boot is not None and not _is_esp(boot):
        own = usage.get(BOOT_POINT, Usage())
        needs.append(
            _Need(
                role=PartitionRole.BOOT,
                mount_point=BOOT_POINT,
                file_system=boot.file_system,
                usage=own,
                # Another kernel must find room.
                size=round_up(needed_size(boot.file_system, own) + max(128 * MIB, own.size)),
                uuid=boot.partition_uuid if is_same else "",
            )
        )
    return needs


def _is_esp(mount: SourceMount) -> bool:
    is_vfat = mount.file_system.type is FileSystemType.VFAT
    return is_vfat and mount.path in (ESP_POINT, BOOT_POINT, "/efi")


def _plain(role: PartitionRole, size: int) -> _Need:
    return _Need(role=role, mount_point="", file_system=None, size=size)


def _file_system(need: _Need, new_id: Callable[[], uuid.UUID]) -> FileSystem | None:
    """With a UUID, by which it is found, and inodes for all files."""
    wanted = need.file_system
    if wanted is None:
        return None
    new = str(new_id())
    if wanted.type is FileSystemType.VFAT:
        new = f"{new[:4]}-{new[4:8]}".upper()
    inode_count = 0
    if wanted.type.is_ext:
        least = need.usage.inode_count * 5 // 4 + 4096
        inode_count = max(least, need.size // _BYTES_PER_INODE)
        # Below 512 MiB mke2fs would take 1024, which many long names in a directory do not fit.
        wanted = replace(
            wanted,
            block_size=wanted.block_size or _BLOCK_SIZE,
            inode_size=wanted.inode_size or _INODE_SIZE,
        )
    return replace(wanted, uuid=wanted.uuid or new, inode_count=inode_count)


def _disk_id(
    volume: Volume, scheme: PartitionScheme | None, new_id: Callable[[], uuid.UUID]
) -> str:
    if scheme is None:
        return ""
    if volume.scheme is scheme and volume.disk_id:
        return volume.disk_id
    new = str(new_id())
    return new if scheme is PartitionScheme.GPT else new[:8]


def _lay_out(
    needs: list[_Need], scheme: PartitionScheme, disk_id: str, new_id: Callable[[], uuid.UUID]
) -> tuple[Partition, ...]:
    placed, offset = [], FIRST_OFFSET
    boot_role = max((need.role for need in needs if need.file_system), key=_BOOT_ORDER.index)
    for index, need in enumerate(needs):
        number = index + 1 if scheme is PartitionScheme.MBR else _NUMBERS[need.role]
        own_id = need.uuid or str(new_id())
        if scheme is PartitionScheme.MBR:
            own_id = f"{disk_id}-{number:02x}"
        partition = _place(need, number=number, offset=offset, uuid_=own_id, new_id=new_id)
        placed.append(replace(partition, is_bootable=need.role is boot_role))
        offset = partition.end
    return tuple(placed)


_BOOT_ORDER = (PartitionRole.ESP, PartitionRole.ROOT, PartitionRole.BOOT)
"""The last of those that a disk has is where boot code of BIOS looks."""


def _place(
    need: _Need, *, number: int, offset: int, uuid_: str, new_id: Callable[[], uuid.UUID]
) -> Partition:
    return Partition(
        number=number,
        role=need.role,
        offset=offset,
        size=need.size,
        mount_point=need.mount_point,
        file_system=_file_system(need, new_id),
        uuid=uuid_,
    )
