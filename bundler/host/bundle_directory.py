"""A bundle on the local disk: parts wait in a hidden directory until all of it is there.

Order of commit: parts, then the manifest.  A crash leaves either the old bundle, or parts
without a manifest and beside them the hidden directory that tells whose they are.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from bundler.errors import ExistsError, InputError
from bundler.host.file_writer import FileWriter
from bundler.host.files import check_directory, os_errors, sync_directory
from bundler.model.digest import Digest
from bundler.model.file_name import manifest_name, parse_part_name, part_names


class BundleDirectory:
    """Takes the parts and the manifest of one new bundle.  Make it with create()."""

    def __init__(
        self, directory: Path, name: str, work: Path, old: tuple[Path, ...], writer: FileWriter
    ) -> None:
        self._directory = directory
        self._name = name
        self._work = work
        self._old = old
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
        with _locked_directory(work) as was_interrupted:
            old = _find_bundle(directory, name)
            has_manifest = any(path.name == manifest_name(name) for path in old)
            if old and not force and (has_manifest or not was_interrupted):
                raise ExistsError(f"write bundle: {old[0]} exists; --force replaces the bundle")
            with FileWriter() as writer:
                yield cls(directory, name, work, old, writer)

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
        manifest = manifest_name(self._name)
        self._write(manifest, document)
        with os_errors("write bundle to", self._directory):
            self._writer.finish()
            # The old manifest goes first: without it no old part is believed.
            for path in sorted(self._old, key=lambda path: path.name != manifest):
                path.unlink()
            self._place(manifest)

    def _place(self, manifest: str) -> None:
        """Give every file its name, or none of them."""
        parts = [self._directory / name for name in self.part_names(self._part_count)]
        try:
            for index, path in enumerate(parts):
                (self._work / str(index)).rename(path)
            sync_directory(self._directory)
            (self._work / manifest).rename(self._directory / manifest)
            sync_directory(self._directory)
        except BaseException:
            for path in (self._directory / manifest, *parts):
                path.unlink(missing_ok=True)
            raise

    def _write(self, name: str, data: bytes) -> None:
        with os_errors("write bundle to", self._directory):
            self._writer.write(self._work / name, data)


@contextmanager
def _locked_directory(work: Path) -> Iterator[bool]:
    """Make and lock a private directory, empty; removed at the end.

    Yields whether an earlier process left it behind.
    """
    with os_errors("write bundle to", work.parent):
        descriptor, was_interrupted = _lock(work)
    try:
        with os_errors("clean up", work):
            for path in work.iterdir():
                path.unlink()
        yield was_interrupted
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(descriptor)


def _lock(work: Path) -> tuple[int, bool]:
    while True:
        was_there = False
        try:
            work.mkdir(mode=0o700)
        except FileExistsError:
            was_there = True
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
                return descriptor, was_there
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
        parsed = parse_part_name(file_name)
        return file_name == manifest_name(name) or (parsed is not None and parsed[0] == name)

    with os_errors("read", directory):
        found = tuple(sorted(path for path in directory.iterdir() if belongs(path.name)))
    for path in found:
        if path.is_dir():
            raise InputError(f"write bundle: {path} is in the way: a directory")
    return found
