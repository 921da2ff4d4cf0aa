"""Files on this machine: bounded reads, atomic writes, free space.

Everything raises our errors: MissingError for what is absent, HostError for what the
machine refuses, InputError for what is not of the right kind.
"""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from bundler.errors import BundlerError, ExistsError, HostError, InputError, MissingError


def host_error(operation: str, subject: Path | str, error: OSError) -> BundlerError:
    """Our error for what the operating system refused, in one line."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return MissingError(f"{operation} {subject}: {reason}")
    if error.errno == errno.EISDIR:
        return InputError(f"{operation} {subject}: expected a file, got a directory")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return HostError(f"{operation} {subject}: no room: {reason}")
    return HostError(f"{operation} {subject}: {reason}")


@contextmanager
def os_errors(operation: str, subject: Path | str) -> Iterator[None]:
    """Turn an OSError in the block into our error."""
    try:
        yield
    except OSError as error:
        raise host_error(operation, subject, error) from error


def read_bounded(path: Path, limit: int, operation: str = "read") -> bytes:
    """The bytes of a file of at most `limit` bytes.

    Raises:
        MissingError: no such file.
        InputError: a directory, or more than `limit` bytes.
        HostError: it may not or cannot be read.
    """
    with os_errors(operation, path), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f"{operation} {path}: expected at most {limit} bytes, got more")
    return data


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o666, force: bool = False) -> Iterator[BinaryIO]:
    """Write a file that appears whole under its name when the block ends, or not at all.

    `mode` is what the umask leaves of it, as with any new file.

    Raises:
        ExistsError: there is such a file and `force` is not given.
        HostError: the disk is full or refuses.
    """
    check_absent(path, force=force)
    with os_errors("write", path):
        descriptor, temporary = _open_temporary(path, mode)
        try:
            with os.fdopen(descriptor, "w+b", buffering=0) as file:
                yield file
                os.fsync(file.fileno())
                if temporary is None and force:
                    temporary = _temporary_path(path)
                    _give_name(file.fileno(), temporary)
                elif temporary is None:
                    _give_name(file.fileno(), path)
            if temporary is not None:
                check_absent(path, force=force)
                temporary.replace(path)
            sync_directory(path.parent)
        except FileExistsError as error:
            raise ExistsError(f"write {path}: the file exists; --force replaces it") from error
        except BaseException:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise


@contextmanager
def scratch_file(directory: Path) -> Iterator[BinaryIO]:
    """A file for its owner alone, which is gone when the block ends, or the process dies.

    Raises:
        HostError: the directory refuses.
    """
    with ExitStack() as stack:
        with os_errors("write in", directory):
            file = stack.enter_context(tempfile.TemporaryFile(dir=directory, buffering=0))
        yield file


def _temporary_path(path: Path) -> Path:
    return path.parent / f".{path.name[:60]}.{secrets.token_hex(8)}"


def _give_name(descriptor: int, path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only with a directory does Python ask the kernel to follow the link in /proc.
        source = f"/proc/self/fd/{descriptor}"
        os.link(source, path.name, dst_dir_fd=directory, follow_symlinks=True)
    finally:
        os.close(directory)


def _open_temporary(path: Path, mode: int) -> tuple[int, Path | None]:
    """A new file beside `path`: without a name where the file system can do that.

    The kernel removes a file without a name when the process dies, however it dies.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        if Path("/proc/self/fd").is_dir():  # else it could not be given a name later
            return os.open(path.parent, flags | os.O_TMPFILE, mode), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    temporary = _temporary_path(path)
    return os.open(temporary, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), temporary


def write_file(path: Path, data: bytes, *, mode: int = 0o666, force: bool = False) -> None:
    """Write a whole file atomically; see atomic_file()."""
    with atomic_file(path, mode=mode, force=force) as file:
        write_all(file, data)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write every byte; an unbuffered file may take fewer at once."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def check_absent(path: Path, *, force: bool) -> None:
    """Refuse to overwrite.

    Raises:
        ExistsError: there is a file and `force` is not given.
        InputError: what is there is no regular file, so that it cannot be replaced.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise host_error("write", path, error) from error
    if not stat.S_ISREG(mode):
        raise InputError(f"write {path}: expected no file or a regular one, got something else")
    if not force:
        raise ExistsError(f"write {path}: the file exists; --force replaces it")


def check_directory(path: Path) -> None:
    """Make sure that a directory can be written to.

    Raises:
        MissingError: it does not exist.
        InputError: it is not a directory.
        HostError: it may not be written to.
    """
    with os_errors("write to", path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError as error:
            raise MissingError(f"write to {path}: no such directory; make it first") from error
        if not stat.S_ISDIR(mode):
            raise InputError(f"write to {path}: expected a directory, got something else")
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise HostError(f"write to {path}: the file system is read-only")
    if not os.access(path, os.W_OK | os.X_OK):
        raise HostError(f"write to {path}: permission denied")


def check_creatable(path: Path) -> None:
    """Make sure that a directory, which may be missing, can be made and written to.

    Raises:
        InputError: there is something else in its place.
        HostError: what is there may not be written to.
    """
    while not path.exists() and path != path.parent:
        path = path.parent
    check_directory(path)


def is_private(path: Path) -> bool:
    """Whether nobody but the file's owner may read or change it.

    Raises:
        MissingError, HostError: it cannot be looked at.
    """
    with os_errors("look at", path):
        return not path.stat().st_mode & 0o077


def check_room(directory: Path, needed: int, *, remedy: str = "make room") -> None:
    """Make sure that `needed` bytes fit on the disk; `remedy` ends the error's message.

    Raises:
        HostError: they do not.
    """
    with os_errors("look for room in", directory):
        state = os.statvfs(directory)
    free = state.f_bavail * state.f_frsize
    if free < needed:
        raise HostError(
            f"look for room in {directory}: expected {needed} bytes free for the worst case, "
            f"got {free}; {remedy}"
        )


def sync_directory(path: Path) -> None:
    """Make renames in a directory survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some cannot, and need not
            raise
    finally:
        os.close(descriptor)
