"""Files of an image by their paths in it: no symbolic link in it leads out of it.

An image's links are its own: "/boot -> /mnt" means the image's /mnt, and ".." ends at its root.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bundler.errors import InputError
from bundler.host.files import os_errors

MAX_LINK_COUNT = 40
"""Most symbolic links on the way to a file.  Source: path_resolution(7)."""

MAX_NAME_COUNT = 10_000
"""Most names of a directory that are listed; our choice."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootedFiles:
    """The files below a directory; paths are as programs see them that are run by chroot in it."""

    root: Path

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's bytes; None where there is none, or something else.

        Raises:
            InputError: it has more than `limit` bytes, or links lead in circles.
            HostError: it cannot be read.
        """
        with os_errors("read", self._told(path)), self._opened(path, os.O_RDONLY) as descriptor:
            if descriptor is None:
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(f"read {self._told(path)}: expected at most {limit} bytes, got more")
        return data

    def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file: in place if there is one, so that it keeps all that belongs to it.

        Raises:
            InputError: something that is no regular file has its name.
            HostError: it cannot be written, or its directory is missing.
        """
        with os_errors("write", self._told(path)), ExitStack() as stack:
            if not self._is_writable(path):
                stack.enter_context(self._made_writable(path))
            with self._opened(path, os.O_WRONLY) as descriptor:
                if descriptor is not None:
                    os.ftruncate(descriptor, 0)
                    _write_all(descriptor, data)
                    return
            with self._parent(path) as (directory, name):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                try:
                    new = os.open(name, flags, mode, dir_fd=directory)
                except FileExistsError as error:
                    told = self._told(path)
                    raise InputError(f"write {told}: expected a file, got another") from error
                try:
                    os.fchmod(new, mode)
                    _write_all(new, data)
                finally:
                    os.close(new)

    def make_directory(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory, and those above it that are missing.

        Raises:
            HostError: it cannot be made.
        """
        made = ""
        for name in filter(None, path.split("/")):
            made += f"/{name}"
            if not self.is_directory(made):
                with os_errors("make", self._told(made)), self._parent(made) as (directory, last):
                    os.mkdir(last, mode, dir_fd=directory)

    def remove(self, path: str) -> None:
        """Remove a file, or a symbolic link that ends a path, if there is one.

        Raises:
            HostError: it cannot be removed.
        """
        with os_errors("remove", self._told(path)), suppress(FileNotFoundError):
            parent, _, name = path.rpartition("/")
            with self._directory(parent) as directory:
                if directory is not None:
                    os.unlink(name, dir_fd=directory)

    def names(self, path: str) -> tuple[str, ...]:
        """Names in a directory, sorted; none where there is none.

        Raises:
            HostError: it cannot be read.
        """
        with os_errors("list", self._told(path)), self._directory(path) as descriptor:
            return () if descriptor is None else _names(descriptor)

    def read_start(self, path: str, size: int) -> bytes | None:
        """At most `size` bytes at the start of a regular file; None where there is none.

        Raises:
            HostError: it cannot be read.
        """
        with os_errors("read", self._told(path)), self._opened(path, os.O_RDONLY) as descriptor:
            return None if descriptor is None else os.read(descriptor, size)

    def is_file(self, path: str) -> bool:
        """Whether there is a regular file, perhaps by way of links.

        Raises:
            HostError: it cannot be looked at.
        """
        with os_errors("look at", self._told(path)), self._opened(path, os.O_PATH) as descriptor:
            return descriptor is not None

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory, perhaps by way of links.

        Raises:
            HostError: it cannot be looked at.
        """
        with os_errors("look at", self._told(path)), self._directory(path) as descriptor:
            return descriptor is not None

    def _is_writable(self, path: str) -> bool:
        """Whether we may write a file, or there is none."""
        try:
            with self._opened(path, os.O_WRONLY):
                return True
        except PermissionError:
            return False

    @contextmanager
    def _made_writable(self, path: str) -> Iterator[None]:
        """Let its owner write a file, until the block ends; root needs no such thing."""
        with self._opened(path, os.O_RDONLY) as descriptor:
            if descriptor is None:
                yield
                return
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            os.fchmod(descriptor, mode | stat.S_IWUSR)
            try:
                yield
            finally:
                os.fchmod(descriptor, mode)

    def _told(self, path: str) -> str:
        return "".join(one if one.isprintable() else "?" for one in f"{path} of the image")

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int | None]:
        """The regular file; None where there is none."""
        descriptor = None
        try:
            with self._parent(path) as (directory, name):
                flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would wait
                if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                    descriptor = os.open(name, flags, dir_fd=directory)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextmanager
    def _directory(self, path: str) -> Iterator[int | None]:
        """The directory; None where there is none."""
        descriptor = None
        try:
            with self._parent(f"{path}/.") as (directory, _):
                descriptor = os.dup(directory)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that has a file, links resolved, and the file's own name in it."""
        trail = [os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            name = _walk(trail, path)
            yield trail[-1], name
        finally:
            for descriptor in trail:
                os.close(descriptor)


def _walk(trail: list[int], path: str) -> str:
    """Go down to the last directory of a path; `trail` is the way there from the root.

    Returns the name in it, which is no symbolic link; "." if it ends in one of the directories.
    """
    names = [*reversed(path.split("/"))]
    link_count = 0
    last = "."
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if len(trail) > 1:
                os.close(trail.pop())
            continue
        target = _link_target(trail[-1], name)
        if target is None:
            if not any(one not in ("", ".") for one in names) and "." not in names:
                last = name
                break
            trail.append(os.open(name, _DIRECTORY, dir_fd=trail[-1]))
            continue
        link_count += 1
        if link_count > MAX_LINK_COUNT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith("/"):
            while len(trail) > 1:
                os.close(trail.pop())
        names.extend(reversed(target.split("/")))
    return last


def _link_target(directory: int, name: str) -> str | None:
    """Where a symbolic link leads; None if it is none, or there is nothing."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def _names(descriptor: int) -> tuple[str, ...]:
    with os.scandir(descriptor) as entries:
        return tuple(sorted(entry.name for entry in islice(entries, MAX_NAME_COUNT)))


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
