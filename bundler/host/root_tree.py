"""A bare file system of a directory, without root and without mounting anything."""

import os
import uuid
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from bundler.errors import HostError
from bundler.host.file_systems import read_file_system
from bundler.host.files import os_errors
from bundler.host.make_file_system import ext_options, keep_features
from bundler.host.run import find_program, run
from bundler.model.file_system import FileSystem

_EPOCH = "SOURCE_DATE_EPOCH"
"""Source: reproducible-builds.org/specs/source-date-epoch."""

_EXTENDED = "nodiscard,root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1"


def build_ext_image(file: BinaryIO, tree: Path, wanted: FileSystem, size: int) -> FileSystem:
    """Make an ext file system of `size` bytes in an empty file, with what is in a directory.

    The file needs no name; times are kept in whole seconds.  With SOURCE_DATE_EPOCH in the
    environment the same tree gives the same bytes: the UUID, when none is wanted, comes of the
    label and that time.

    Raises:
        MissingError: mke2fs is not installed.
        HostError: not an ext type, no room, or mke2fs failed.
    """
    if not wanted.type.is_ext:
        raise HostError(f"make {wanted.type} of {tree}: expected ext2, ext3 or ext4")
    epoch = os.environ.get(_EPOCH, "")
    environment = {}
    extended = _EXTENDED
    if epoch.isascii() and epoch.isdigit():
        seed = uuid.uuid5(uuid.NAMESPACE_OID, f"{wanted.label}\0{epoch}")
        wanted = replace(wanted, uuid=wanted.uuid or str(seed))
        extended += f",hash_seed={uuid.uuid5(seed, 'hash seed')}"
        environment = {_EPOCH: epoch, "E2FSPROGS_FAKE_TIME": epoch}
    path = Path(f"/proc/self/fd/{file.fileno()}")
    with os_errors("make an image of", tree):
        file.truncate(size)
    features = keep_features(wanted.features, [])
    chosen = ("-O", ",".join(("none", *features))) if features else ()
    run(
        (
            find_program("mke2fs", package="e2fsprogs"),
            *ext_options(wanted),
            *("-E", extended),
            *chosen,
            *("-d", tree, path),
        ),
        environment=environment,
        inherit=(file.fileno(),),
    )
    made = read_file_system(path)
    if made is None:
        raise HostError(f"make {wanted.type} of {tree}: expected it to be found, got nothing")
    return made
