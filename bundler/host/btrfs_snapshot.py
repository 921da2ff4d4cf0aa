"""A read-only snapshot of a mounted btrfs subvolume: the files of one moment, at no cost.

Source: btrfs-subvolume(8).
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import os_errors
from bundler.host.run import find_program, run

PREFIX = ".ami-bundler-snapshot-"
"""Of the names of snapshots, which lie in the directory that the subvolume is mounted on."""

_logger = logging.getLogger(__name__)


def find_btrfs() -> Path:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("btrfs", package="btrfs-progs")


@contextmanager
def snapshot(mount_point: Path) -> Iterator[Path]:
    """A snapshot of what is mounted there; it is deleted when the block ends.

    Subvolumes inside are not in it.  Snapshots of runs that were killed are deleted first.

    Raises:
        MissingError: the program btrfs is not installed.
        HostError: it is no subvolume, the file system is full, or this process may not.
    """
    btrfs = find_btrfs()
    _remove_leftovers(btrfs, mount_point)
    path = mount_point / f"{PREFIX}{secrets.token_hex(8)}"
    run((btrfs, "subvolume", "snapshot", "-r", mount_point, path))
    try:
        with os_errors("lock", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os_errors("lock", path):
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield path
        finally:
            os.close(descriptor)
    finally:
        run((btrfs, "subvolume", "delete", path))


def nested_subvolumes(mount_point: Path) -> tuple[str, ...]:
    """Paths of the subvolumes directly in one, which no snapshot of it has.

    Raises:
        MissingError: the program btrfs is not installed.
        HostError: it is no subvolume, or this process may not.
    """
    lines = run((find_btrfs(), "subvolume", "list", "-o", mount_point)).decode(errors="replace")
    paths = (line.partition(" path ")[2] for line in lines.splitlines())
    return tuple(path for path in paths if path and PREFIX not in path)


def _remove_leftovers(btrfs: Path, mount_point: Path) -> None:
    """Delete snapshots of ours that no process has locked; one that was just made may be lost.

    Whoever loses his snapshot before he has locked it fails, and loses nothing else.
    """
    with os_errors("look for snapshots in", mount_point):
        found = [path for path in mount_point.iterdir() if path.name.startswith(PREFIX)]
    for path in found:
        with suppress(OSError):  # another run's, or gone
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)
            _delete_leftover(btrfs, path)


def _delete_leftover(btrfs: Path, path: Path) -> None:
    try:
        run((btrfs, "subvolume", "delete", path))
    except HostError as error:
        _logger.warning("a snapshot that an earlier run has left stays: %s", error)
    else:
        _logger.warning("%s, which an earlier run has left, was deleted", path)
