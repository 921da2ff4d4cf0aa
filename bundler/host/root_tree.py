"""A directory tree to an ext file system in a file: no mount, no loop device, no root."""

import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from bundler.errors import UsageError
from bundler.host.ext_file_system import mke2fs_argv
from bundler.host.files import os_errors
from bundler.host.run import run
from bundler.model.file_system import FileSystem

EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
"""Seconds since 1970: with it, same tree, same bytes.  Source: reproducible-builds.org."""

_MAX_EPOCH = 2**32 - 1


def source_date_epoch() -> int | None:
    """What the environment says is the time; None: nothing.

    Raises:
        UsageError: it is no number of seconds.
    """
    text = os.environ.get(EPOCH_VARIABLE, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_EPOCH):
        raise UsageError(f"{EPOCH_VARIABLE}: expected seconds since 1970, got {text[:40]!r}")
    return int(text)


def build_ext_image(
    file: BinaryIO,
    tree: Path,
    wanted: FileSystem,
    size: int,
    *,
    name: str = "",
    epoch: int | None = None,
    is_owned_by_root: bool = False,
) -> tuple[FileSystem, tuple[str, ...]]:
    """Make a file system of `size` bytes of a tree in an empty file, which needs no name.

    Everything in the tree is taken, also what is mounted there; owners, modes, links, xattrs
    and whole seconds of the times are kept.  With `epoch` the file system's own times are that,
    and its ids are made from it and `name`, so that the same tree gives the same bytes.  With
    `is_owned_by_root` the root directory itself is root's.  What was made, and notes.

    Raises:
        MissingError: mke2fs is not installed.
        HostError: there is no room, or mke2fs failed.
    """
    with os_errors("write", "the image"):
        os.ftruncate(file.fileno(), size)
    environment = {}
    extended = ["root_owner=0:0"] if is_owned_by_root else []
    if epoch is not None:
        environment = {EPOCH_VARIABLE: str(epoch), "E2FSPROGS_FAKE_TIME": str(max(epoch, 1))}
        extended.append(f"hash_seed={stable_id(name, epoch, 'hash')}")
        wanted = replace(wanted, uuid=wanted.uuid or stable_id(name, epoch, "uuid"))
    # mke2fs opens it by its descriptor, so that it writes to this file whatever has the name.
    target = Path(f"/proc/self/fd/{file.fileno()}")
    inherited = (file.fileno(),)
    argv, made, notes = mke2fs_argv(target, wanted, extended=extended, inherit=inherited)
    run((*argv, "-d", tree.absolute(), target), environment=environment, inherit=inherited)
    return made, notes


def stable_id(name: str, epoch: int, what: str) -> str:
    """A UUID that looks random, and is always the same for the same words."""
    seed = f"{what} {epoch} ".encode() + os.fsencode(name)
    return str(UUID(bytes=sha256(seed).digest()[:16], version=4))
