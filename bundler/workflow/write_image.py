"""Bundle to disk image: raw, or in a format of hypervisors; wrapped and amended on request."""

import os
from collections.abc import Iterable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bundler.host.files import atomic_file, os_errors, scratch_file
from bundler.host.image_file import write_sparse
from bundler.host.qemu_img import convert_raw
from bundler.model.bundle import BundleKey
from bundler.model.image import DiskFormat
from bundler.model.manifest import Manifest
from bundler.workflow.convert import ConversionPlan, disk_size, open_disk
from bundler.workflow.fstab import Fstab, find_fstab, plan_removal
from bundler.workflow.ports import Progress
from bundler.workflow.unbundle import open_image


def write_image(
    manifest: Manifest,
    parts: Iterable[bytes],
    secret: BundleKey,
    plan: ConversionPlan,
    output: Path,
    disk_format: DiskFormat,
    *,
    removes_mounts: bool,
    force: bool,
    workers: int,
    progress: Progress,
) -> Fstab | None:
    """Write the disk of a bundle; what its fstab was, if it has one.

    The file appears under its name when all of it holds, readable by its owner only.  Formats
    other than raw take room for the raw image, without its holes, beside it meanwhile.  With
    `removes_mounts` the fstab loses its lines of instance store volumes.

    Raises:
        ExistsError: the output exists and `force` is not given.
        InputError: the archive in the bundle is not one image of the size told, that image is
            not what the plan needs, or its fstab cannot be changed.
        VerificationError: damaged, wrong key, or the digest of the tar stream does not hold.
        MissingError: qemu-img is needed, and not installed.
        HostError: the disk is full or refuses, or qemu-img fails.
    """
    with ExitStack() as stack:
        file = stack.enter_context(atomic_file(output, mode=0o600, force=force))
        is_raw = disk_format is DiskFormat.RAW
        raw = file if is_raw else stack.enter_context(scratch_file(output.parent))
        with (
            progress.task(f"unbundling {manifest.name}", manifest.bundled_size) as advance,
            closing(open_image(manifest, parts, secret, workers=workers, advance=advance)) as runs,
        ):
            disk = iter(open_disk(runs, manifest, plan))
            write_sparse(raw, disk, disk_size(manifest, plan.scheme))
        fstab = _amend(raw, output, removes_mounts=removes_mounts)
        if not is_raw:
            with progress.task(f"writing {output.name} as {disk_format}", 0):
                convert_raw(raw, file, disk_format)
        return fstab


def _amend(raw: BinaryIO, output: Path, *, removes_mounts: bool) -> Fstab | None:
    with os_errors("read and write", output):
        fstab = find_fstab(partial(_read_at, raw, os.fstat(raw.fileno()).st_size))
        for offset, data in plan_removal(fstab) if removes_mounts else ():
            os.pwrite(raw.fileno(), data, offset)
    return fstab


def _read_at(raw: BinaryIO, end: int, offset: int, size: int) -> bytes:
    # A hostile partition table or file system points to where no file can reach.
    return os.pread(raw.fileno(), size, offset) if offset < end else b""
