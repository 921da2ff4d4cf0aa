"""A volume to an image file: looked at, laid out, copied, and made to boot.

Needs CAP_SYS_ADMIN, and a mount namespace of its own (host/mounts.py): what is mounted here
vanishes with the process.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundler.host.file_systems import read_file_system
from bundler.host.files import os_errors
from bundler.host.freeze import check_may_freeze, frozen
from bundler.host.mounts import bound, for_programs, make_static_devices, private_directory
from bundler.host.rooted_files import RootedFiles
from bundler.host.rsync import Vanished, copy_files, find_rsync
from bundler.model.boot_loader import BootLoader, BootLoaders
from bundler.model.disk import Disk, Firmware
from bundler.model.image import Architecture
from bundler.model.partition_table import PartitionScheme
from bundler.model.selection import Selection
from bundler.model.volume import Volume
from bundler.workflow.boot_loader import find_boot_loaders, firmwares, install_boot_loader
from bundler.workflow.build_image import build_image
from bundler.workflow.detect_architecture import tree_architecture
from bundler.workflow.finish_image import finish_files, run_script
from bundler.workflow.image_options import ImageOptions
from bundler.workflow.initramfs import check_initramfs
from bundler.workflow.mounted_image import MountedImage
from bundler.workflow.plan_disk import ESP_POINT, plan_disk
from bundler.workflow.ports import Progress
from bundler.workflow.read_volume import read_volume, volume_notes
from bundler.workflow.select_files import select_files
from bundler.workflow.selection_rules import SelectionRules
from bundler.workflow.snapshots import snapshot_kind, snapshot_of


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """A volume, looked at: what will be copied, and into what."""

    volume: Volume
    view: Path
    """The volume's own file systems, without what else is mounted on them."""
    loaders: BootLoaders
    architecture: Architecture | None
    """What its programs are built for; None: not known."""
    selection: Selection
    disk: Disk
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledImage:
    """What is to be told of a finished image."""

    disk: Disk
    vanished: Vanished
    notes: tuple[str, ...]
    """What was done or found on the way that somebody may want to know."""


@contextmanager
def planned_volume(
    options: ImageOptions,
    rules: SelectionRules,
    paths: BinaryIO,
    *,
    writers: Sequence[Path],
    progress: Progress,
) -> Iterator[tuple[VolumePlan, Callable[[], None]]]:
    """Look at a volume and choose its files, whose list goes to `paths`; nothing is changed.

    With a freeze or snapshot the volume stays as it is until the function beside the plan is
    called, or the block ends.  `writers` are the directories that will be written to.

    Raises:
        UsageError: the options do not fit the volume.
        MissingError: a program is not installed.
        InputError: the image would be too large.
        HostError: this process may not, or a file system refuses.
    """
    find_rsync()
    volume = read_volume(
        options.volume,
        read_file_system=read_file_system,
        all_mounts=options.includes_all_mounts,
    )
    with private_directory() as place, ExitStack() as stack:
        view = place / "volume"
        view.mkdir()
        if options.freezes:
            frozen_points = [Path(mount.mount_point) for mount in reversed(volume.mounts)]
            check_may_freeze(frozen_points, writers)
            stack.enter_context(frozen(frozen_points))
        notes = _bind(options, volume, view, stack)
        loaders = find_boot_loaders(view)
        points = {ESP_POINT, *(mount.path for mount in volume.mounts)}
        selection = select_files(view, rules, paths, boundaries=sorted(points), progress=progress)
        plan = VolumePlan(
            volume=volume,
            view=view,
            loaders=loaders,
            architecture=tree_architecture(RootedFiles(root=view)),
            selection=selection,
            disk=_plan(options, volume, loaders, selection),
            notes=(*volume_notes(volume), *notes),
        )
        yield plan, stack.close


def fill_image(
    options: ImageOptions,
    plan: VolumePlan,
    file: BinaryIO,
    paths: BinaryIO,
    *,
    release: Callable[[], None],
    progress: Progress,
) -> FilledImage:
    """Make the image in an empty file; `release` is called when all is copied.

    Raises:
        MissingError: a program is not installed, or the volume has no boot loader.
        HostError: the disk is full, a program failed, or a file could not be copied whole.
    """
    root = plan.view.parent / "image"
    root.mkdir()
    with build_image(file, plan.disk, root) as built:
        with progress.task("copying", plan.selection.size) as advance:
            vanished = copy_files(plan.view, root, paths, advance)
        release()
        files, disk = RootedFiles(root=root), built.mounted.disk
        notes = (*plan.notes, *built.notes, *_finish_files(options, files, disk, plan))
        notes += _finish_by_programs(options, plan, built.mounted, progress)
    return FilledImage(disk=disk, vanished=vanished, notes=notes)


def _bind(options: ImageOptions, volume: Volume, view: Path, stack: ExitStack) -> tuple[str, ...]:
    """Show the volume's own file systems at `view`, read-only; notes of what is not seen."""
    notes: list[str] = []
    for number, mount in enumerate(volume.mounts):
        kind = snapshot_kind(options.snapshot, volume, mount)
        place = view.parent / f"snapshot-{number}"
        source, more = stack.enter_context(snapshot_of(mount, kind, place))
        target = view / mount.path.lstrip("/")
        stack.enter_context(bound(source, target, read_only=True))
        notes += more
    return tuple(notes)


def _plan(
    options: ImageOptions, volume: Volume, loaders: BootLoaders, selection: Selection
) -> Disk:
    found = frozenset(firmwares(loaders)) if options.has_boot_loader else frozenset[Firmware]()
    scheme = options.scheme
    if options.has_own_scheme:
        scheme = volume.scheme
        if not volume.is_mount_point and found:
            scheme = PartitionScheme.GPT
    return plan_disk(
        volume,
        selection.usage,
        scheme=scheme,
        firmware=options.firmware if options.firmware is not None else found,
        size=options.size,
        allow_large=options.allow_large,
    )


def _finish_files(
    options: ImageOptions, files: RootedFiles, disk: Disk, plan: VolumePlan
) -> tuple[str, ...]:
    with os_errors("make device nodes in", "the image's /dev"):
        make_static_devices(files.root / "dev")
    return finish_files(options, files, disk, plan.volume, plan.selection.emptied)


def _finish_by_programs(
    options: ImageOptions, plan: VolumePlan, image: MountedImage, progress: Progress
) -> tuple[str, ...]:
    """What programs do in the image: boot loader, initramfs, and the user's script."""
    devices = {"": image.device}
    for partition in image.disk.partitions:
        own = image.partition_devices.get(partition.mount_point)
        if partition.file_system and own:
            devices[partition.file_system.uuid] = own
    with progress.task("boot loader", 0), for_programs(image.root, devices):
        notes = check_initramfs(
            image, updates=options.updates_initramfs, runs_programs=options.has_boot_loader
        )
        bios = None if options.has_boot_loader else BootLoader.NONE
        notes += install_boot_loader(image, plan.loaders, bios=bios)
        if options.script:
            run_script(options.script, image.root)
    return notes
