"""A part of a file as a block device, for programs that know no offset: read-only, for root."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bundler.errors import HostError
from bundler.host.files import host_error, os_errors

_CONFIGURE, _GET_FREE = 0x4C0A, 0x4C82
_READ_ONLY, _AUTOCLEAR = 1, 4
_CONTROL = "/dev/loop-control"
_MAX_TRIES = 16
_INFO = struct.Struct("<QQQQQIIII64s64s32s16s")
_CONFIG = struct.Struct("<II232s64x")
# Source: linux/loop.h: struct loop_info64, struct loop_config; loop(4).


@contextmanager
def read_only_loop(file: int, offset: int, size: int) -> Iterator[int]:
    """The `size` bytes at `offset` of an open file: the descriptor of a loop device of them.

    The kernel removes the device when the last descriptor of it is closed, however a process
    dies.

    Raises:
        HostError: not root, or the kernel has no loop devices.
    """
    try:
        device = _open_free_device(file, offset, size)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise HostError("make a loop device: only root can; run it as root") from error
        raise host_error("make a loop device", _CONTROL, error) from error
    try:
        yield device
    finally:
        with os_errors("remove loop device", _CONTROL):
            os.close(device)


def _open_free_device(file: int, offset: int, size: int) -> int:
    info = _INFO.pack(0, 0, 0, offset, size, 0, 0, 0, _READ_ONLY | _AUTOCLEAR, b"", b"", b"", b"")
    config = _CONFIG.pack(file, 0, info)
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for tries_left in reversed(range(_MAX_TRIES)):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY or not tries_left:  # another one was faster
                    raise
            else:
                return device
        raise AssertionError("unreachable")
    finally:
        os.close(control)
