"""Look at a directory tree that others may change meanwhile, and never leave it.

Paths are bytes, relative to a descriptor of the tree's root; no symbolic link is followed, no
FIFO, socket or device opened.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundler.host.files import host_error

MAX_PATH_SIZE = 4095
"""Most bytes of a path that Linux takes.  Source: PATH_MAX in linux/limits.h."""

_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHANGED = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.ENXIO))
"""What the kernel says of a name whose file is gone, or has become something else."""


class ChangedError(Exception):
    """A file is gone, or has become something else, since it was listed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory, and what lstat() tells of it."""

    name: bytes
    state: os.stat_result


@contextmanager
def open_root(path: Path) -> Iterator[int]:
    """A descriptor of a tree's root, for the block.

    Raises:
        MissingError, HostError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise host_error("look at", path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def open_directory(root: int, path: bytes) -> Iterator[int]:
    """A descriptor of a directory of the tree; an empty path is the root.

    Raises:
        ChangedError: it is no directory any more, or one above it is none.
        HostError: it may not be opened.
    """
    descriptor = os.dup(root)
    try:
        with _changes(path):
            for name in path.split(b"/") if path else ():
                inner = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def list_directory(directory: int, path: bytes) -> tuple[list[Entry], int]:
    """What is in an open directory, by name, and how many names had no file any more.

    Raises:
        HostError: it cannot be read.
    """
    entries, vanished_count = list[Entry](), 0
    with _changes(path), os.scandir(directory) as found:
        for each in found:
            try:
                state = each.stat(follow_symlinks=False)
            except FileNotFoundError:
                vanished_count += 1
                continue
            entries.append(Entry(os.fsencode(each.name), state))
    entries.sort(key=lambda entry: entry.name)
    return entries, vanished_count


@contextmanager
def open_file(directory: int, name: bytes, path: bytes) -> Iterator[int]:
    """A descriptor of a regular file in an open directory, for os.pread(); `path` names it.

    Raises:
        ChangedError: it is gone, or no regular file any more.
        HostError: it may not or cannot be read, in the block, too.
    """
    with _changes(path):
        try:
            descriptor = os.open(name, _FILE_FLAGS | os.O_NOATIME, dir_fd=directory)
        except PermissionError:  # O_NOATIME is for the owner
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ChangedError
            yield descriptor
        finally:
            os.close(descriptor)


@contextmanager
def _changes(path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _CHANGED:
            raise ChangedError from error
        raise host_error("look at", os.fsdecode(path or b"/"), error) from error
