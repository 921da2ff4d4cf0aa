"""A directory tree to an image of one ext file system, with no right that any user has not."""

import os
import stat
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from bundler.codec.ext_inodes import root_inode, timed_inodes
from bundler.codec.mountinfo import parse_mountinfo
from bundler.errors import UsageError
from bundler.host.block_devices import ThisMachine
from bundler.host.files import os_errors
from bundler.host.root_tree import build_ext_image, source_date_epoch, stable_id
from bundler.host.rooted_files import RootedFiles
from bundler.host.rsync import copy_files, find_rsync, listed_paths
from bundler.host.staging import staging_directory
from bundler.model.file_system import FileSystem, FileSystemType
from bundler.model.volume import SourceMount, Volume
from bundler.workflow.boot_loader import find_boot_loaders, install_boot_loader
from bundler.workflow.detect_architecture import tree_architecture
from bundler.workflow.finish_image import finish_files, run_script
from bundler.workflow.image_options import ImageOptions, SnapshotKind
from bundler.workflow.image_volume import FilledImage, VolumePlan
from bundler.workflow.mounted_image import MountedImage
from bundler.workflow.plan_disk import plan_disk
from bundler.workflow.ports import Progress
from bundler.workflow.select_files import select_files
from bundler.workflow.selection_rules import SelectionRules

LABEL = "root"
"""Of the file system."""


def plan_tree(
    options: ImageOptions, rules: SelectionRules, paths: BinaryIO, *, progress: Progress
) -> VolumePlan:
    """Look at a tree and choose its files, whose list goes to `paths`; nothing is changed.

    `rules` leave out what is mounted inside.

    Raises:
        UsageError: an option needs root.
        MissingError: there is no such directory, or rsync is not installed.
        InputError: the image would be too large.
        HostError: the tree cannot be read.
    """
    _check(options)
    find_rsync()
    with os_errors("read", options.volume):
        path = options.volume.resolve(strict=True)
    selection = select_files(path, rules, paths, boundaries=("/",), progress=progress)
    volume = _volume_of(path, _stable_uuid(paths))
    disk = plan_disk(
        volume,
        selection.usage,
        scheme=None,
        firmware=frozenset(),
        size=options.size,
        allow_large=options.allow_large,
    )
    return VolumePlan(
        volume=volume,
        view=path,
        loaders=find_boot_loaders(path),
        architecture=tree_architecture(RootedFiles(root=path)),
        selection=selection,
        disk=disk,
        notes=(),
    )


def _volume_of(path: Path, uuid: str) -> Volume:
    root = SourceMount(
        path="/",
        mount_point=str(path),
        device="",
        file_system=FileSystem(type=FileSystemType.EXT4, label=LABEL, uuid=uuid),
        type=FileSystemType.EXT4.value,
    )
    return Volume(path=str(path), is_mount_point=False, mounts=(root,), left_out=(), scheme=None)


def mounts_inside(path: Path) -> tuple[Path, ...]:
    """Where something is mounted below a directory.

    Raises:
        MissingError, HostError: there is no such directory, or it cannot be looked at.
        InputError: what the kernel says cannot be understood.
    """
    with os_errors("read", path):
        top = str(path.resolve(strict=True))
    mounts = parse_mountinfo(ThisMachine().mount_table())
    below = top.rstrip("/") + "/"
    return tuple(Path(mount.mount_point) for mount in mounts if mount.mount_point.startswith(below))


def fill_tree_image(
    options: ImageOptions,
    plan: VolumePlan,
    file: BinaryIO,
    paths: BinaryIO,
    *,
    scratch: Path,
    progress: Progress,
) -> FilledImage:
    """Make the image in an empty file, by way of a copy of the tree in `scratch`.

    Raises:
        MissingError: mke2fs or rsync is not installed.
        HostError: the disk is full, a program failed, or a file could not be copied whole.
    """
    with staging_directory(scratch) as root:
        with progress.task("copying", plan.selection.size) as advance:
            vanished = copy_files(plan.view, root, paths, advance)
        notes = _owner_notes(plan.view, root, paths)
        files = RootedFiles(root=root)
        image = MountedImage(
            root=root, disk=plan.disk, device=Path("/dev/null"), partition_devices={}
        )
        notes += finish_files(options, files, plan.disk, plan.volume, plan.selection.emptied)
        notes += install_boot_loader(image, plan.loaders)
        if options.script:
            run_script(options.script, root)
        wanted = plan.disk.root.file_system
        if wanted is None:
            raise RuntimeError("a plan has a root file system")
        with progress.task("file system", 0):
            epoch = source_date_epoch()
            made, more = build_ext_image(
                file, root, wanted, plan.disk.size, name=LABEL, epoch=epoch
            )
            _finish_inodes(file, root, epoch)
    partition = replace(plan.disk.root, file_system=made)
    disk = replace(plan.disk, partitions=(partition,))
    return FilledImage(disk=disk, vanished=vanished, notes=(*notes, *more))


def _stable_uuid(paths: BinaryIO) -> str:
    """A UUID made of the names of the files, if there is an epoch; else none: a random one."""
    epoch = source_date_epoch()
    if epoch is None:
        return ""
    digest = sha256()
    with os_errors("read", "the list of files"):
        for path in listed_paths(paths):
            digest.update(path + b"\0")
    return stable_id(digest.hexdigest(), epoch, "uuid")


def _owner_notes(source: Path, copy: Path, paths: BinaryIO) -> tuple[str, ...]:
    """Tell of files that could not be given to their owners, which rsync passes over."""
    count, first = 0, b""
    with os_errors("look at what was copied from", source):
        for path in listed_paths(paths):
            with suppress(FileNotFoundError):  # it has vanished
                old, new = (os.lstat(os.fsencode(top) + b"/" + path) for top in (source, copy))
                if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
                    first = first or path
                    count += 1
    if not count:
        return ()
    return (
        f"files whose owner or group is another in the image, for only root may give files away: "
        f"{count}, such as {os.fsdecode(first)!r}",
    )


def _finish_inodes(file: BinaryIO, root: Path, epoch: int | None) -> None:
    """Set what mke2fs does not: the root directory's own, and times that are the copy's.

    With `epoch` no time tells when the image was made, so that the same tree gives the same
    bytes.
    """

    def read(offset: int, size: int) -> bytes:
        return os.pread(file.fileno(), size, offset)

    with os_errors("write", "the image"):
        state = root.stat()
        offset, data = root_inode(
            read,
            permissions=stat.S_IMODE(state.st_mode),
            owner=(state.st_uid, state.st_gid),
            time_ns=state.st_mtime_ns,
        )
        os.pwrite(file.fileno(), data, offset)
        if epoch is not None:
            for offset, data in timed_inodes(read, epoch):
                os.pwrite(file.fileno(), data, offset)


def _check(options: ImageOptions) -> None:
    """Without root there are no mounts, and so no partitions with boot loaders in them."""
    for is_asked, option in (
        (options.scheme is not None, "--partition"),
        (bool(options.firmware), "--firmware"),
        (options.freezes, "--freeze"),
        (options.snapshot not in (SnapshotKind.NONE, SnapshotKind.AUTO), "--snapshot"),
    ):
        if is_asked:
            raise UsageError(f"{option}: expected to be root (CAP_SYS_ADMIN), which mounts need")
