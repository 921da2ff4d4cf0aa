"""An empty image: its partition table and file systems are made, and mounted to be filled."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bundler.codec.disk_layout import render_table
from bundler.errors import HostError
from bundler.host.esp import fill_vfat
from bundler.host.file_systems import make_file_system, mount_options
from bundler.host.files import os_errors
from bundler.host.loop_device import attach
from bundler.host.mounts import in_memory, mounted, trim
from bundler.host.write_back import written_back
from bundler.model.disk import Disk, Partition, PartitionRole
from bundler.workflow.mounted_image import MountedImage

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """A mounted image, and what is to be told of it."""

    mounted: MountedImage
    notes: tuple[str, ...]


@contextmanager
def build_image(file: BinaryIO, disk: Disk, root: Path) -> Iterator[BuiltImage]:
    """Make the disk in an empty file, and mount its file systems below `root`.

    When the block ends, what was put at the ESP's mount point is copied into the ESP, deleted
    bytes are given back, and all is unmounted; after a failure in the block the file is of no
    use.

    Raises:
        MissingError: a program is not installed, or the kernel has no loop devices.
        HostError: the disk is full, a program failed, or a file system is still in use.
    """
    with os_errors("write image", "the partition table"):
        os.ftruncate(file.fileno(), disk.size)
        for offset, data in render_table(disk):
            os.pwrite(file.fileno(), data, offset)
    notes: list[str] = []
    with ExitStack() as stack:
        device = stack.enter_context(attach(file.fileno()))
        devices: dict[str, Path] = {}
        made: list[Partition] = []
        for partition in disk.partitions:
            if partition.file_system is None:
                made.append(partition)
                continue
            own = device
            if disk.scheme is not None:
                own = stack.enter_context(
                    attach(file.fileno(), offset=partition.offset, size=partition.size)
                )
            file_system, more = make_file_system(own, partition.file_system)
            made.append(replace(partition, file_system=file_system))
            devices[partition.mount_point] = own
            notes += more
        new_disk = replace(disk, partitions=tuple(made))
        with _mounted(new_disk, devices, root):
            esp = {one.mount_point for one in made if one.role is PartitionRole.ESP}
            image = MountedImage(
                root=root,
                disk=new_disk,
                device=device,
                partition_devices={
                    point: path for point, path in devices.items() if point not in esp
                },
            )
            yield BuiltImage(mounted=image, notes=tuple(notes))


@contextmanager
def _mounted(disk: Disk, devices: dict[str, Path], root: Path) -> Iterator[None]:
    """Mount the file systems, the outer ones first; the ESP's files are kept in memory."""
    ordered = sorted(
        (one for one in disk.partitions if one.mount_point), key=lambda one: one.mount_point
    )
    with ExitStack() as stack:
        for partition in ordered:
            target = root / partition.mount_point.lstrip("/")
            device = devices[partition.mount_point]
            target.mkdir(parents=True, exist_ok=True)
            if partition.role is PartitionRole.ESP:
                stack.enter_context(in_memory(target))
                stack.enter_context(_then(partial(fill_vfat, device, target)))
            elif (file_system := partition.file_system) is not None:
                options = mount_options(file_system)
                kind = file_system.type.value
                stack.enter_context(mounted(device, target, kind, options=options))
                stack.enter_context(_then(partial(_trim, target)))
                what = f"the image's {partition.mount_point}"
                stack.enter_context(written_back(target, what=what))
        yield


@contextmanager
def _then(action: Callable[[], object]) -> Iterator[None]:
    """Do something at the end of the block, unless it has failed."""
    yield
    action()


def _trim(target: Path) -> None:
    try:
        trim(target)
    except HostError as error:  # it costs room, and shows what was deleted in the image itself
        _logger.warning("%s: what was deleted in the image is not given back", error)
