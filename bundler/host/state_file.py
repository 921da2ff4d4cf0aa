"""A small private file of JSON lines that outlives the process: appended to, locked, bounded."""

import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from bundler.errors import ExistsError, InputError
from bundler.host.files import os_errors

MAX_STATE_SIZE = 64 * 1024 * 1024
"""Most bytes of a state file; our choice: a hundred thousand parts need a tenth of it."""


class StateFile:
    """Records, a line each; only its owner can read it.  Make it with open()."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, work: str) -> Iterator[Self]:
        """Open and lock it for the block; it is made, with its directory, if it is missing.

        `work` is what another process that has it open is doing.

        Raises:
            ExistsError: another process has it open.
            InputError: what is there is not a private file of this user.
            HostError, MissingError: it cannot be made.
        """
        with os_errors("keep state in", path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _lock(path, work)
        try:
            yield cls(path, descriptor)
        finally:
            state = os.fstat(descriptor)
            with suppress(OSError):
                if not state.st_size and _is_at(path, state):
                    path.unlink()  # an empty one says no more than none
            os.close(descriptor)

    def is_too_large(self) -> bool:
        """Whether it has more than MAX_STATE_SIZE bytes, and so no lines that are read.

        Raises:
            HostError: it cannot be read.
        """
        with os_errors("read state", self._path):
            return os.fstat(self._descriptor).st_size > MAX_STATE_SIZE

    def lines(self) -> list[str]:
        """Its lines; one that a dying process has not ended is left out.

        Raises:
            HostError: it cannot be read.
        """
        if self.is_too_large():
            return []
        with os_errors("read state", self._path):
            size = os.fstat(self._descriptor).st_size
            data = os.pread(self._descriptor, size, 0)
        return data.decode(errors="replace").split("\n")[:-1]

    def begin(self, record: Mapping[str, object]) -> None:
        """Forget all, and write a first record.

        Raises:
            HostError: the disk is full or refuses.
        """
        with os_errors("write state", self._path):
            os.ftruncate(self._descriptor, 0)
        self.append(record)

    def append(self, record: Mapping[str, object]) -> None:
        """Write a record; a crash of this process does not lose it.

        Raises:
            HostError: the disk is full or refuses.
        """
        with os_errors("write state", self._path):
            data = memoryview(json.dumps(record).encode() + b"\n")
            while data:
                data = data[os.write(self._descriptor, data) :]

    def end_broken_line(self) -> None:
        """Begin a new line if a dying process has not ended its last one.

        Raises:
            HostError: the disk is full or refuses.
        """
        with os_errors("write state", self._path):
            size = os.fstat(self._descriptor).st_size
            if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
                os.write(self._descriptor, b"\n")

    def remove(self) -> None:
        """Remove it: nothing is left to be known.

        Raises:
            HostError: the directory refuses.
        """
        with os_errors("remove state", self._path):
            self._path.unlink(missing_ok=True)


def parse_records(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The records in lines; what a dying process has not written whole is left out."""
    records = []
    for line in lines:
        with suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                records.append(record)
    return records


def _is_at(path: Path, state: os.stat_result) -> bool:
    """Whether a path leads to the file of that state."""
    return path.exists() and os.path.samestat(path.stat(), state)


def _lock(path: Path, work: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        descriptor = os.open(path, flags, 0o600)
        try:
            state = os.fstat(descriptor)
            is_private = stat.S_ISREG(state.st_mode) and not state.st_mode & 0o077
            if not is_private or state.st_uid != os.geteuid():
                raise InputError(
                    f"keep state in {path}: expected a private file of this user "
                    "(mode 0600), got another; remove it, or name another --state-dir"
                )
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that held it may have removed it before we got the lock.
            if _is_at(path, state):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise ExistsError(f"keep state in {path}: another process is {work}") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
