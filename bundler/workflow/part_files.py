"""Parts on the local disk: read and verified before any byte is used."""

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from bundler.errors import InputError, VerificationError
from bundler.host.files import os_errors
from bundler.model.bundle import MAX_PART_SIZE, MIB, Part
from bundler.model.digest import Digest
from bundler.model.manifest import Manifest
from bundler.stages.tap import Tap, sha1_digest
from bundler.workflow.ports import Advance

CHUNK_SIZE = MIB
"""Bytes of a chunk."""


def read_parts(directory: Path, manifest: Manifest) -> Iterator[bytes]:
    """The bytes of all parts, one after another; each part is verified before it is used.

    Raises:
        MissingError: a part is not there.
        VerificationError: a part's digest, or the sum of the sizes, does not hold.
        HostError: a part cannot be read.
    """
    total = 0
    for part in manifest.parts:
        for chunk in read_part(directory, part, limit=manifest.bundled_size):
            total += len(chunk)
            yield chunk
    check_bundled_size(manifest, total)


class Budget:
    """Bytes that all parts may have together: each alone could have as many."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Take bytes, or give them back.

        Raises:
            VerificationError: no more are left.
        """
        with self._lock:
            self._left -= size
            is_over = self._left < 0
        if is_over:
            raise VerificationError(
                "read parts: they have more bytes together than the manifest says"
            )


def check_bundled_size(manifest: Manifest, total: int) -> None:
    """Compare the sum of the parts' sizes with the manifest.

    Raises:
        VerificationError: they differ.
    """
    if total != manifest.bundled_size:
        raise VerificationError(
            f"bundle {manifest.name}: expected {manifest.bundled_size} bytes in all parts, "
            f"got {total}"
        )


def check_parts_present(directory: Path, manifest: Manifest) -> None:
    """Look for every part, and at their sizes, before anything is done with the first.

    Raises:
        MissingError: a part is not there.
        VerificationError: the sum of the sizes does not hold.
    """
    total = 0
    for part in manifest.parts:
        path = directory / part.filename
        with os_errors("read part", path):
            total += path.stat().st_size
    check_bundled_size(manifest, total)


def read_part(directory: Path, part: Part, *, limit: int) -> Iterator[bytes]:
    """The bytes of one part in chunks; see open_part()."""
    with open_part(directory, part, limit=limit) as body:
        yield from _hashed(body, directory / part.filename, part)


def hash_part(directory: Path, part: Part, *, limit: int, advance: Advance) -> int:
    """Verify one part of at most `limit` bytes, a chunk at a time in memory; its size.

    Raises:
        MissingError, InputError, VerificationError, HostError: as open_part().
    """
    path = directory / part.filename
    total = 0
    with os_errors("read part", path), _open_regular(path, limit) as file:
        for chunk in _hashed(file, path, part):
            total += len(chunk)
            advance(len(chunk))
    return total


def open_part(directory: Path, part: Part, *, limit: int) -> BinaryIO:
    """One part, of at most `limit` bytes, verified before it is returned.

    Up to MAX_PART_SIZE bytes are held in memory; larger parts, which only other tools make,
    are read once to verify them and once more by the caller.

    Raises:
        MissingError: it is not there.
        InputError: it is not a regular file.
        VerificationError: its size or digest does not hold.
        HostError: it cannot be read.
    """
    path = directory / part.filename
    with os_errors("read part", path), ExitStack() as stack:
        file = stack.enter_context(_open_regular(path, limit))
        size = os.fstat(file.fileno()).st_size
        if size <= MAX_PART_SIZE:
            # In one piece: chunks, joined, would be in memory twice.
            data = file.read(size + 1)
            _check_digest(sha1_digest(data), path, part)
            return io.BytesIO(data)
        for _ in _hashed(file, path, part):
            pass
        file.seek(0)
        stack.pop_all()
        return file


def _open_regular(path: Path, limit: int) -> BinaryIO:
    # O_NONBLOCK: a named pipe in a part's place must not make us wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    state = os.fstat(descriptor)
    if stat.S_ISREG(state.st_mode) and state.st_size <= limit:
        return file
    file.close()
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"read part {path}: expected a regular file, got something else")
    raise VerificationError(
        f"read part {path}: expected at most {limit} bytes, got {state.st_size}"
    )


def _hashed(body: BinaryIO, path: Path, part: Part) -> Iterator[bytes]:
    """Pass on the body; at its end the digest must hold, or VerificationError is raised."""
    tap = Tap()
    with os_errors("read part", path):
        yield from tap(iter(lambda: body.read(CHUNK_SIZE), b""))
    _check_digest(tap.digest, path, part)


def _check_digest(digest: Digest, path: Path, part: Part) -> None:
    if digest != part.digest:
        raise VerificationError(
            f"read part {path}: expected {part.digest.algorithm} {part.digest.hexdigest}, "
            f"got {digest.hexdigest}"
        )
