"""A file, or a part of one, as a block device, for programs that know no offset; for root.

Source: linux/loop.h; loop(4).
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundler.errors import BundlerError, HostError, MissingError
from bundler.host.files import host_error, os_errors

_SET_FD, _CLEAR_FD, _SET_STATUS, _CONFIGURE = 0x4C00, 0x4C01, 0x4C04, 0x4C0A
_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4
_CONTROL = "/dev/loop-control"
_MAJOR = 7
"""Of loop devices.  Source: the kernel's admin-guide/devices.txt."""

_MAX_TRIES = 64
"""Most free devices that others may take before us; our choice."""

_INFO = struct.Struct("<QQQQQIIII64s64s32s16s")
_CONFIG = struct.Struct("<II232s64x")
# Source: linux/loop.h: struct loop_info64, struct loop_config.


@contextmanager
def attach(file: int, *, offset: int = 0, size: int = 0, read_only: bool = False) -> Iterator[Path]:
    """The `size` bytes at `offset` of an open file as a device; size 0: up to the file's end.

    The file needs no name.  The kernel frees the device when nobody has it open and nothing of
    it is mounted: at the end of the block, or when the process dies, however it dies.

    Raises:
        MissingError: the kernel has no loop devices.
        HostError: not root, or the kernel refuses the file.
    """
    with _attached(file, offset=offset, size=size, read_only=read_only) as (_, path):
        yield path


@contextmanager
def read_only_loop(file: int, offset: int, size: int) -> Iterator[int]:
    """The `size` bytes at `offset` of an open file: the descriptor of a loop device of them.

    Raises:
        MissingError, HostError: as attach() does.
    """
    with _attached(file, offset=offset, size=size, read_only=True) as (descriptor, _):
        yield descriptor


@contextmanager
def _attached(file: int, *, offset: int, size: int, read_only: bool) -> Iterator[tuple[int, Path]]:
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
    info = _INFO.pack(0, 0, 0, offset, size, 0, 0, 0, flags, b"", b"", b"", b"")
    try:
        device, path = _attach_free(file, info, os.O_RDONLY if read_only else os.O_RDWR)
    except OSError as error:
        raise _describe(error) from error
    try:
        yield device, path
    finally:
        with os_errors("detach", path):
            os.close(device)


def _describe(error: OSError) -> BundlerError:
    operation = "make a loop device"
    if error.errno in (errno.EACCES, errno.EPERM):
        return HostError(f"{operation}: only root may; run it as root, in no container")
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return MissingError(f"{operation}: this kernel has none; load them by: modprobe loop")
    return host_error(operation, _CONTROL, error)


def _attach_free(file: int, info: bytes, mode: int) -> tuple[int, Path]:
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_MAX_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            path = Path(f"/dev/loop{number}")
            device = _open_device(path, number, mode)
            try:
                configure(device, file, info)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
            except BaseException:
                os.close(device)
                raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, f"others took {_MAX_TRIES} free devices before us")


def _open_device(path: Path, number: int, mode: int) -> int:
    """Open a device that the kernel has just made; its file too, where no udev makes it."""
    if not path.exists():
        with suppress(FileExistsError):  # udev was faster
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(_MAJOR, number))
    return os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW)


def configure(device: int, file: int, info: bytes) -> None:
    """Tie a free device to a file, at once; `info` is a struct loop_info64.

    Raises:
        OSError: EBUSY when it is not free any more.
    """
    try:
        fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 0, info))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        configure_in_steps(device, file, info)  # Linux before 5.8


def configure_in_steps(device: int, file: int, info: bytes) -> None:
    """Do the same as configure() on a kernel that knows no LOOP_CONFIGURE.

    Between the steps a kill would leave the device behind, since autoclear is not yet set.

    Raises:
        OSError: EBUSY when the device is not free any more.
    """
    fcntl.ioctl(device, _SET_FD, file)
    try:
        for tries_left in reversed(range(_MAX_TRIES)):
            try:
                fcntl.ioctl(device, _SET_STATUS, info)
                return
            except OSError as error:
                if error.errno != errno.EAGAIN or not tries_left:  # pages still in the cache
                    raise
    except BaseException:
        fcntl.ioctl(device, _CLEAR_FD)
        raise
