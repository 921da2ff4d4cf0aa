"""Parts on the local disk: read and verified before any byte is used."""

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from bundler.errors import InputError, VerificationError
from bundler.host.files import os_errors
from bundler.model.bundle import MAX_PART_SIZE, MIB, Part
from bundler.model.manifest import Manifest

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


def read_part(directory: Path, part: Part, *, limit: int) -> Iterator[bytes]:
    """The bytes of one part in chunks; see open_part()."""
    with open_part(directory, part, limit=limit) as body, os_errors("read part", part.filename):
        while chunk := body.read(CHUNK_SIZE):
            yield chunk


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
    sha1 = hashlib.sha1(usedforsecurity=False)
    with os_errors("read part", path), ExitStack() as stack:
        file = stack.enter_context(_open_regular(path))
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise VerificationError(f"read part {path}: expected at most {limit} bytes, got {size}")
        if size <= MAX_PART_SIZE:
            data = file.read(size)
            sha1.update(data)
            _check_digest(path, part, sha1.digest())
            return io.BytesIO(data)
        while chunk := file.read(CHUNK_SIZE):
            sha1.update(chunk)
        _check_digest(path, part, sha1.digest())
        file.seek(0)
        stack.pop_all()
        return file


def _open_regular(path: Path) -> BinaryIO:
    # O_NONBLOCK: a named pipe in a part's place must not make us wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise InputError(f"read part {path}: expected a regular file, got something else")
    return file


def _check_digest(path: Path, part: Part, value: bytes) -> None:
    if value != part.digest.value:
        raise VerificationError(
            f"read part {path}: expected {part.digest.algorithm} {part.digest.hexdigest}, "
            f"got {value.hex()}"
        )
