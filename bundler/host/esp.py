"""Files into a vfat partition without mounting it: not every kernel can."""

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from bundler.errors import HostError
from bundler.host.files import os_errors
from bundler.host.run import find_program, run

_OPERATION = "fill the EFI system partition from"
_CLUSTER_SIZE = 4096
"""Bytes of a usual cluster, by which a file's size is rounded up."""

_ENVIRONMENT = {"MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": os.devnull}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f"*:<>?\\|\udc80-\udcff]|[. ]$')
"""What no vfat name has, or mtools would change.  Source: Microsoft's FAT specification."""


def fill_vfat(device: Path, tree: Path) -> None:
    """Copy what is in a directory into the empty vfat file system on a device.

    Links and special files, which vfat has none of, are left out; times are kept, to the two
    seconds that vfat knows.  For mcopy, which would follow links and wait for pipes, the files
    lie in a second directory beside `tree` meanwhile, by hard links where they can.

    Raises:
        MissingError: mtools is not installed.
        HostError: no room, or a name that vfat cannot hold.
    """
    mcopy = find_program("mcopy", package="mtools")
    with os_errors(_OPERATION, tree), device.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
    with (
        os_errors(_OPERATION, tree),
        tempfile.TemporaryDirectory(dir=tree.parent, prefix=".esp-") as directory,
    ):
        stage = Path(directory)
        needed = _stage(tree, stage)
        if needed > size:
            raise HostError(
                f"{_OPERATION} {tree}: no room: expected at most {size} bytes, got {needed}; "
                f"make the partition larger"
            )
        for path in sorted(stage.iterdir()):  # an absolute path is no option
            run((mcopy, "-s", "-m", "-Q", "-i", device, path, "::/"), environment=_ENVIRONMENT)


def _stage(tree: Path, stage: Path) -> int:
    """Put the directories and regular files of a tree into another; bytes of their clusters."""
    needed = 0
    names: set[str] = set()
    for entry in sorted(os.scandir(tree), key=lambda one: one.name):
        is_directory = entry.is_dir(follow_symlinks=False)
        if not is_directory and not entry.is_file(follow_symlinks=False):
            continue
        _check_name(Path(entry.path), names)
        target = stage / entry.name
        if is_directory:
            target.mkdir()
            needed += _CLUSTER_SIZE + _stage(Path(entry.path), target)
            state = entry.stat(follow_symlinks=False)
            os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
        else:
            _link_or_copy(Path(entry.path), target)
            needed += -(-target.stat().st_size // _CLUSTER_SIZE) * _CLUSTER_SIZE
    return needed


def _check_name(path: Path, names: set[str]) -> None:
    name = path.name
    if _FORBIDDEN.search(name):
        raise HostError(f"{_OPERATION} {str(path)!r}: vfat cannot hold this name; rename it")
    if name.lower() in names:
        raise HostError(f"{_OPERATION} {str(path)!r}: vfat tells no upper from lower case")
    names.add(name.lower())


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without links
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file, target.open("xb") as copy:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise HostError(f"{_OPERATION} {source}: the tree changed meanwhile") from None
            shutil.copyfileobj(file, copy)
        os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
