"""Loop devices: a file, or a piece of one, as a block device.

Each is freed by the kernel (autoclear) as soon as nobody has it open or mounted, however the
process that holds it ends.  Sources: loop(4), linux/loop.h.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bundler.errors import HostError, MissingError
from bundler.host.files import os_errors

_CONTROL = Path("/dev/loop-control")
_CONTROL_NUMBER = os.makedev(10, 237)
_MAJOR = 7
# Source: Linux allocated devices.

_SET_FD, _CLR_FD, _SET_STATUS64, _CONFIGURE = 0x4C00, 0x4C01, 0x4C04, 0x4C0A
_CTL_GET_FREE = 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4

_STATUS = struct.Struct("=QQQQQIIII64s64s32sQQ")
"""struct loop_info64; 8 bytes of each kind are as long on all machines."""

_CONFIG = struct.Struct(f"=II{_STATUS.size}s64x")
"""struct loop_config: the file, the block size (0: 512), the status."""

_TRY_COUNT = 64
"""How often another process may take the free device before we do; our choice."""


@contextmanager
def attach(
    file: int | Path, *, offset: int = 0, size: int = 0, read_only: bool = False
) -> Iterator[Path]:
    """A loop device of a file, which may be one without a name, until the block ends.

    `file` is a descriptor or a path; `offset` and `size` in bytes, 0 for all there is.  What
    was written is in the file when the block ends.

    Raises:
        MissingError: the kernel has no loop devices, or there is no such file.
        HostError: this process may not (CAP_SYS_ADMIN), or the kernel refuses.
    """
    with ExitStack() as stack:
        descriptor = file if isinstance(file, int) else _open(file, stack, read_only=read_only)
        control = _open_control(stack)
        device, path = _take_free(control, descriptor, offset, size, read_only=read_only)
        stack.callback(os.close, device)  # the kernel does the rest
        yield path
        if not read_only:
            with os_errors("write", path):
                os.fsync(device)


def _open(path: Path, stack: ExitStack, *, read_only: bool) -> int:
    flags = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
    with os_errors("attach", path):
        descriptor = os.open(path, flags)
    stack.callback(os.close, descriptor)
    return descriptor


def _open_control(stack: ExitStack) -> int:
    try:
        with suppress(FileExistsError, PermissionError):
            # Where udev does not run, and in a container, nobody has made it.
            if not _CONTROL.exists():
                os.mknod(_CONTROL, stat.S_IFCHR | 0o660, _CONTROL_NUMBER)
        descriptor = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise MissingError(
                "attach loop device: this kernel has none; load its module: modprobe loop"
            ) from error
        raise _refused(error) from error
    stack.callback(os.close, descriptor)
    return descriptor


def _refused(error: OSError) -> HostError:
    remedy = "; root may" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return HostError(f"attach loop device: {error.strerror}{remedy}")


def _take_free(
    control: int, file: int, offset: int, size: int, *, read_only: bool
) -> tuple[int, Path]:
    """A device that nobody had, open, and ours."""
    try:
        for _ in range(_TRY_COUNT):
            number = fcntl.ioctl(control, _CTL_GET_FREE)  # makes a new one if there is none
            path = Path(f"/dev/loop{number}")
            device = _open_device(path, number, read_only=read_only)
            try:
                _configure(device, file, offset, size, read_only=read_only)
            except BaseException as error:
                os.close(device)
                if isinstance(error, OSError) and error.errno == errno.EBUSY:
                    continue  # another process was faster
                raise
            return device, path
    except OSError as error:
        raise _refused(error) from error
    raise HostError("attach loop device: other processes take each free one; try again")


def _open_device(path: Path, number: int, *, read_only: bool) -> int:
    with suppress(FileExistsError):
        # udev makes it as well, but later than we need it.
        if not path.exists():
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(_MAJOR, number))
    return os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)


def _configure(device: int, file: int, offset: int, size: int, *, read_only: bool) -> None:
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
    fields = (0, 0, 0, offset, size, 0, 0, 0, flags, b"ami-bundler", b"", b"", 0, 0)
    status = _STATUS.pack(*fields)
    try:
        fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, 0, status))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise
        _configure_in_steps(device, file, status)  # Linux before 5.8


def _configure_in_steps(device: int, file: int, status: bytes) -> None:
    """As LOOP_CONFIGURE does at once; killed between the steps, it leaves the device attached."""
    fcntl.ioctl(device, _SET_FD, file)
    try:
        fcntl.ioctl(device, _SET_STATUS64, status)
    except OSError:
        fcntl.ioctl(device, _CLR_FD)
        raise


@contextmanager
def read_only_loop(file: int, offset: int, size: int) -> Iterator[int]:
    """The descriptor of a loop device of a piece of a file, for programs that know no offset.

    Raises:
        MissingError, HostError: as attach().
    """
    with attach(file, offset=offset, size=size, read_only=True) as path:
        with os_errors("read", path):
            device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield device
        finally:
            os.close(device)
