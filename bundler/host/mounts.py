"""Mounts that nobody else sees, and that are gone when this process is, however it ends.

The process leaves the mount namespace of its parent; what it mounts from then on is its own.
Sources: unshare(2), mount(2), umount2(2), mount_namespaces(7).
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import os_errors

PRIVATE_DIRECTORY = Path("/run/ami-bundler")
"""Where the private mounts are: below a tmpfs that only this process and its children see."""

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MS_NOATIME, _MS_BIND, _MS_REC, _MS_SLAVE = 1024, 4096, 16384, 1 << 19
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_FITRIM = 0xC0185879
# Sources: linux/sched.h, linux/mount.h, linux/fs.h.

_libc = ctypes.CDLL(None, use_errno=True)


class BusyError(HostError):
    """A program still uses what is to be unmounted."""


def enter_mount_namespace() -> None:
    """Leave the parent's mount namespace; this thread, and those that it starts from now on.

    Mounts made elsewhere later are still seen here; none made here is seen elsewhere.

    Raises:
        HostError: this process may not (CAP_SYS_ADMIN).
    """
    with os_errors("mount", "in a mount namespace of our own"):
        _check(_libc.unshare(_CLONE_NEWNS))
        _mount("none", "/", "", _MS_REC | _MS_SLAVE)


@contextmanager
def private_directory() -> Iterator[Path]:
    """An empty directory in memory that only this process sees, for mount points.

    Call enter_mount_namespace() before.

    Raises:
        HostError: it cannot be mounted.
    """
    with _shared_directory(), in_memory(PRIVATE_DIRECTORY):
        yield PRIVATE_DIRECTORY


@contextmanager
def mounted(
    device: Path, target: Path, kind: str, *, options: Sequence[str] = (), read_only: bool = False
) -> Iterator[None]:
    """A file system, mounted on a directory, which is made if there is none.

    Raises:
        BusyError: at the end of the block, a program still uses it.
        HostError: it cannot be mounted, or not be written back.
    """
    with os_errors("mount", f"{kind} on {device}"):
        target.mkdir(exist_ok=True)
        _mount(device, target, kind, _MS_RDONLY if read_only else _MS_NOATIME, ",".join(options))
    with _unmounted(target):
        if read_only:
            yield
        else:
            with _written(target):
                yield


@contextmanager
def in_memory(target: Path) -> Iterator[None]:
    """An empty file system in memory, mounted on a directory (tmpfs).

    Raises:
        BusyError: at the end of the block, a program still uses it.
        HostError: it cannot be mounted.
    """
    with os_errors("mount", f"tmpfs on {target}"):
        _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    with _unmounted(target):
        yield


@contextmanager
def bound(source: Path, target: Path, *, read_only: bool) -> Iterator[None]:
    """The files of a directory once more elsewhere, without what is mounted below it.

    Raises:
        BusyError: at the end of the block, a program still uses it.
        HostError: it cannot be mounted.
    """
    with os_errors("mount", source):
        _mount(source, target, "", _MS_BIND)
    with _unmounted(target):
        if read_only:
            with os_errors("mount", source):
                kept = _kept_flags(target)
                _mount("none", target, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)
        yield


@contextmanager
def for_programs(root: Path, devices: Mapping[str, Path]) -> Iterator[None]:
    """What programs need that are run by chroot in `root`: /proc, /sys and a /dev of its own.

    In /dev there are but the usual pseudo devices and `devices`, by the UUID of the file
    system that each has (an empty one: none), so that no program finds a disk of this machine.

    Raises:
        BusyError: at the end of the block, a program still uses one of them.
        HostError: one cannot be mounted.
    """
    flags = _MS_NOSUID | _MS_NOEXEC | _MS_NODEV
    wanted = (("proc", flags), ("sys", flags | _MS_RDONLY), ("dev", _MS_NOSUID))
    with ExitStack() as stack:
        for name, own_flags in wanted:
            target, kind = root / name, _TYPES_FOR_PROGRAMS[name]
            with os_errors("mount", f"/{name} in the image"):
                _check_real_directory(target)
                _mount(kind, target, kind, own_flags)
            stack.enter_context(_unmounted(target))
        with os_errors("make device nodes in", "the image's /dev"):
            fill_devices(root / "dev", devices)
        yield


def fill_devices(directory: Path, devices: Mapping[str, Path]) -> None:
    """Make device nodes; see for_programs().

    Raises:
        OSError: the file system, or this process, may not.
    """
    for name, (major, minor, mode) in _PSEUDO_DEVICES.items():
        make_node(directory / name, os.makedev(major, minor), stat.S_IFCHR | mode)
    for name, link in _DEVICE_LINKS.items():
        (directory / name).symlink_to(link)
    links = directory / "disk/by-uuid"
    links.mkdir(parents=True)
    for uuid, device in devices.items():
        node = directory / device.name
        if not os.path.lexists(node):
            make_node(node, device.stat().st_rdev, stat.S_IFBLK | 0o600)
        if uuid:
            (links / uuid.replace("/", "_")).symlink_to(f"../../{device.name}")


def make_node(path: Path, number: int, mode: int) -> None:
    """A device node with just that mode, whatever the umask is.

    Raises:
        OSError: there is such a file, or this process may not.
    """
    os.mknod(path, mode, number)
    path.chmod(stat.S_IMODE(mode))


def make_static_devices(directory: Path) -> None:
    """Make the nodes that a system needs before its own /dev is mounted, where they are missing.

    Raises:
        HostError: there is no directory, but something else.
        OSError: the file system, or this process, may not.
    """
    _check_real_directory(directory)
    for name in ("console", "null", "zero", "tty"):
        major, minor, mode = _PSEUDO_DEVICES[name]
        with suppress(FileExistsError):
            make_node(directory / name, os.makedev(major, minor), stat.S_IFCHR | mode)


def trim(path: Path) -> None:
    """Give back what is free in a mounted file system, so that deleted bytes are gone.

    Raises:
        HostError: the file system or its device cannot (ioctl FITRIM, fstrim(8)).
    """
    with os_errors("trim", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _FITRIM, struct.pack("QQQ", 0, 2**64 - 1, 0))
        finally:
            os.close(descriptor)


_TYPES_FOR_PROGRAMS = {"proc": "proc", "sys": "sysfs", "dev": "tmpfs"}

_PSEUDO_DEVICES = {
    "console": (5, 1, 0o600),
    "full": (1, 7, 0o666),
    "null": (1, 3, 0o666),
    "ptmx": (5, 2, 0o666),
    "random": (1, 8, 0o666),
    "tty": (5, 0, 0o666),
    "urandom": (1, 9, 0o666),
    "zero": (1, 5, 0o666),
}
"""Major and minor number and mode.  Source: Linux allocated devices."""

_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


@contextmanager
def _shared_directory() -> Iterator[None]:
    """PRIVATE_DIRECTORY, made if it is missing, and removed by whoever is the last to use it."""
    with os_errors("make", PRIVATE_DIRECTORY):
        PRIVATE_DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(PRIVATE_DIRECTORY, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
        # Removed while it is a mount point of another run, that one's mount would go with it.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            PRIVATE_DIRECTORY.rmdir()
    finally:
        os.close(descriptor)


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """See that all that is written to a mounted file system in the block gets to its device.

    A loop device whose file finds no more room fails when nobody waits for it any more: the
    kernel tells of it only here (syncfs(2), since Linux 5.8, of failures since the opening).
    """
    with os_errors("write", "the image"):
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        with os_errors("write", "the image"):
            _check(_libc.syncfs(descriptor))
    finally:
        os.close(descriptor)


@contextmanager
def _unmounted(target: Path) -> Iterator[None]:
    """Unmount at the end of the block; after a failure in it, at any price."""
    try:
        yield
    except BaseException:
        _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW | _MNT_DETACH)
        raise
    if _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW):
        number = ctypes.get_errno()
        users = _users_of(target) if number == errno.EBUSY else ()
        _libc.umount2(os.fsencode(target), _UMOUNT_NOFOLLOW | _MNT_DETACH)
        if number == errno.EBUSY:
            who = ", ".join(users) or "a program"
            raise BusyError(f"unmount {target.name}: {who} still uses it: the image is given up")
        raise HostError(f"unmount {target.name}: {os.strerror(number)}")


def _users_of(target: Path) -> tuple[str, ...]:
    """Processes whose root, working directory or open files are below a mount point."""
    found = []
    prefix = f"{target}/"
    for process in Path("/proc").glob("[0-9]*"):
        links = [process / "root", process / "cwd", process / "exe"]
        with suppress(OSError):
            links += (process / "fd").iterdir()
        for link in links:
            with suppress(OSError):
                if f"{link.readlink()}/".startswith(prefix):
                    name = (process / "comm").read_text(errors="replace").strip()
                    found.append(f"process {process.name} ({name})")
                    break
    return tuple(found[:8])


def _kept_flags(target: Path) -> int:
    """Flags of a mount that a remount must not drop: a user namespace may have locked them."""
    state = os.statvfs(target)
    pairs = ((os.ST_NOSUID, _MS_NOSUID), (os.ST_NODEV, _MS_NODEV), (os.ST_NOEXEC, _MS_NOEXEC))
    return sum(flag for bit, flag in pairs if state.f_flag & bit)


def _check_real_directory(path: Path) -> None:
    """Make a mount point; a symbolic link would lead out of the image."""
    path.mkdir(exist_ok=True)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise HostError(f"mount in the image: /{path.name} is no directory")


def _mount(source: Path | str, target: Path | str, kind: str, flags: int, data: str = "") -> None:
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        )
    )


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
