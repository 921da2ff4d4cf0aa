"""A bundle on the local disk: it waits in a hidden directory until all of it is there.

The manifest in the hidden directory is the commit record: from then on the new bundle is
whole and on the disk, and only moves to its place, parts first and the manifest last.  A crash
before leaves the old bundle; after a crash behind it the next run ends the move.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from bundler.errors import ExistsError, InputError
from bundler.host.file_writer import FileWriter
from bundler.host.files import check_directory, os_errors, sync_directory
from bundler.model.digest import Digest
from bundler.model.file_name import is_part_of, manifest_name, parse_part_name, part_names

_UNCOMMITTED = "manifest"
"""The manifest's name in the hidden directory before the commit."""


class BundleDirectory:
    """Takes the parts and the manifest of one new bundle.  Make it with create()."""

    def __init__(self, directory: Path, name: str, work: Path, writer: FileWriter) -> None:
        self._directory = directory
        self._name = name
        self._work = work
        self._part_count = 0
        self._writer = writer

    @classmethod
    @contextmanager
    def create(cls, directory: Path, name: str, *, force: bool) -> Iterator[Self]:
        """Begin a bundle; what is not whole when the block ends is removed.

        With `force` an old bundle of that name is replaced, all its parts included.

        Raises:
            ExistsError: there is a bundle or a part of that name, or another process is
                making one.
            MissingError, InputError, HostError: the directory cannot be used.
        """
        check_directory(directory)
        work = directory / f".{name}.partial"
        with _locked_directory(work), FileWriter() as writer:
            _clear(work, directory, name)
            old = _find_bundle(directory, name)
            if old and not force:
                raise ExistsError(f"write bundle: {old[0]} exists; --force replaces the bundle")
            try:
                yield cls(directory, name, work, writer)
            except BaseException:
                writer.stop()
                _clear(work, directory, name)
                raise

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        """Write a part; parts come in order.

        Raises:
            HostError: the disk is full or refuses.
        """
        del digest  # the disk does not check what it is given
        self._write(str(index), data)
        self._part_count = index + 1

    def part_names(self, count: int) -> tuple[str, ...]:
        """The names that the parts will have."""
        return part_names(self._name, count)

    def put_manifest(self, document: bytes) -> None:
        """Make the bundle appear under its name, the manifest last.

        Raises:
            HostError: the disk is full or refuses.
        """
        self._write(_UNCOMMITTED, document)
        with os_errors("write bundle to", self._directory):
            self._writer.finish()
            for index, name in enumerate(self.part_names(self._part_count)):
                (self._work / str(index)).rename(self._work / name)
            sync_directory(self._work)
            (self._work / _UNCOMMITTED).rename(self._work / manifest_name(self._name))
            sync_directory(self._work)
            _move(self._work, self._directory, self._name)

    def _write(self, name: str, data: bytes) -> None:
        with os_errors("write bundle to", self._directory):
            self._writer.write(self._work / name, data)


def _clear(work: Path, directory: Path, name: str) -> None:
    """Empty the hidden directory: a committed bundle moves to its place, all else is removed."""
    with os_errors("write bundle to", directory):
        if (work / manifest_name(name)).exists():
            _move(work, directory, name)
        for path in work.iterdir():
            path.unlink()


def _move(work: Path, directory: Path, name: str) -> None:
    """Move a committed bundle to its place; doing it again ends what was interrupted."""
    waiting = [path for path in work.iterdir() if parse_part_name(path.name)]
    waiting.sort(key=lambda path: path.name)  # all indices have the same number of digits
    if waiting:
        last = parse_part_name(waiting[-1].name)
        new = set(part_names(name, last[1] + 1)) if last else set()
        # The old manifest goes first: without it no old part is believed.
        old = [path for path in _find_bundle(directory, name) if path.name not in new]
        for path in sorted(old, key=lambda path: path.name != manifest_name(name)):
            path.unlink(missing_ok=True)
    for path in waiting:
        path.replace(directory / path.name)
    sync_directory(directory)
    (work / manifest_name(name)).replace(directory / manifest_name(name))
    sync_directory(directory)


@contextmanager
def _locked_directory(work: Path) -> Iterator[None]:
    """Make and lock a private directory; removed at the end if it is empty."""
    with os_errors("write bundle to", work.parent):
        descriptor = _lock(work)
    try:
        yield
    finally:
        with suppress(OSError):
            work.rmdir()
        os.close(descriptor)


def _lock(work: Path) -> int:
    while True:
        try:
            work.mkdir(mode=0o700)
        except FileExistsError:
            if work.is_symlink() or not work.is_dir():
                raise InputError(f"write bundle: {work} is in the way") from None
        try:
            descriptor = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that held it may have removed it before we got the lock.
            if work.exists() and os.path.samestat(work.stat(), os.fstat(descriptor)):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise ExistsError(
                f"write bundle: another process is making {work.name[1:].removesuffix('.partial')}"
                f" in {work.parent}"
            ) from None


def _find_bundle(directory: Path, name: str) -> tuple[Path, ...]:
    """Manifest and parts of that name that lie in the directory."""

    def belongs(file_name: str) -> bool:
        return file_name == manifest_name(name) or is_part_of(file_name, name)

    with os_errors("read", directory):
        found = tuple(sorted(path for path in directory.iterdir() if belongs(path.name)))
    for path in found:
        if path.is_dir():
            raise InputError(f"write bundle: {path} is in the way: a directory")
    return found
