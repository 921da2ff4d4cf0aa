"""A directory for copies that are needed for a while; if a run is killed the next removes it."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundler.host.files import os_errors

PREFIX = ".ami-bundler-staging-"
"""Of the names of such directories."""


@contextmanager
def staging_directory(directory: Path) -> Iterator[Path]:
    """A new directory, in one for its owner alone in another; both are removed at the end.

    So what is copied over the inner one may be anybody's, and of any mode.  Those that killed
    runs have left there are removed first.

    Raises:
        HostError: the directory refuses.
    """
    _remove_leftovers(directory)
    path, descriptor = _make_locked(directory)
    try:
        try:
            inner = path / "root"
            with os_errors("write in", path):
                inner.mkdir()
            yield inner
        finally:
            _remove(path)
    finally:
        os.close(descriptor)


def _make_locked(directory: Path) -> tuple[Path, int]:
    """A new directory, and its descriptor that has the lock."""
    while True:
        path = directory / f"{PREFIX}{secrets.token_hex(8)}"
        with os_errors("write in", directory):
            path.mkdir(mode=0o700)
        with os_errors("lock", path), suppress(FileNotFoundError):
            descriptor = _open(path)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return path, descriptor
            os.close(descriptor)
        # Another run has found it before it was locked, and removed it.


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove_leftovers(directory: Path) -> None:
    """Remove those of ours that no process has locked."""
    with os_errors("look in", directory):
        found = [path for path in directory.iterdir() if path.name.startswith(PREFIX)]
    for path in found:
        with suppress(OSError):  # another run's, or another user's, or gone
            descriptor = _open(path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_own = os.fstat(descriptor).st_uid == os.geteuid()
                if is_own and path.stat().st_ino == os.fstat(descriptor).st_ino:
                    _remove(path)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove all of it; directories that their own modes protect are opened first."""
    with os_errors("remove", path):
        for directory, names, _ in os.walk(path):
            for one in (Path(directory, name) for name in names):
                if not one.is_symlink():  # os.walk() looks into it after this
                    one.chmod(0o700)
        shutil.rmtree(path)
