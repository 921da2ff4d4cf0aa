"""Disk images in the formats of hypervisors, written by qemu-img."""

from pathlib import Path
from typing import BinaryIO

from bundler.host.run import find_program, run
from bundler.model.image import DiskFormat

_OUTPUT_OPTIONS: dict[DiskFormat, tuple[str, ...]] = {
    DiskFormat.QCOW2: ("-O", "qcow2"),
    DiskFormat.VMDK: ("-O", "vmdk"),
    # Without force_size the disk grows to a whole number of cylinders.
    DiskFormat.VHD: ("-O", "vpc", "-o", "subformat=dynamic,force_size=on"),
}


def find_qemu_img() -> Path:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("qemu-img", package="qemu-utils (qemu-img elsewhere)")


def convert_raw(raw: BinaryIO, output: BinaryIO, disk_format: DiskFormat) -> None:
    """Write a raw image anew in another format; both files may be without a name.

    Raises:
        MissingError: qemu-img is not installed.
        HostError: the disk is full, or qemu-img fails.
    """
    descriptors = raw.fileno(), output.fileno()
    files = [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
    # The format is told, never guessed: a raw image may begin as one of another format does.
    words = ["convert", "-f", "raw", *_OUTPUT_OPTIONS[disk_format], *files]
    run([find_qemu_img(), *words], inherit=descriptors)
