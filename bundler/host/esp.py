"""EFI system partitions: filled by mtools(1), which need neither a mount nor a kernel for it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bundler.errors import HostError, InputError
from bundler.host.files import os_errors
from bundler.host.run import find_program, run

_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",  # else names that are not ASCII are mangled
    "MTOOLS_SKIP_CHECK": "1",
    "MTOOLSRC": os.devnull,
    "TZ": "UTC",
}
_CLUSTER_SIZE = 4096
_FORBIDDEN = frozenset('"*/:<>?\\|')
# Source: Microsoft, FAT specification: characters of long names.
_BATCH_COUNT = 64


def find_mcopy() -> Path:
    """The program that copies into vfat without a mount.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("mcopy", package="mtools")


def fill_vfat(target: Path, tree: Path) -> None:
    """Copy what is in a directory into a new vfat file system, with times of change.

    `target` is a device or a file that is this file system.

    Raises:
        MissingError: mtools are not installed.
        InputError: something there that vfat cannot hold: links, special files, odd names.
        HostError: there is no room, or mcopy fails.
    """
    mcopy = find_mcopy()
    with os_errors("fill EFI system partition from", tree):
        needed = sum(_checked_sizes(tree))
        # Absolute paths, so that no name is taken for an option or a drive.
        paths = sorted(tree.absolute().iterdir())
        with target.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    if needed > size - size // 64:
        raise HostError(
            f"fill EFI system partition: no room: expected at most {size} bytes, got {needed}"
        )
    for start in range(0, len(paths), _BATCH_COUNT):
        batch = paths[start : start + _BATCH_COUNT]
        run((mcopy, "-i", target, "-s", "-m", *batch, "::/"), environment=_ENVIRONMENT)


def _checked_sizes(directory: Path) -> Iterator[int]:
    """Bytes of whole clusters of all that is below a directory."""
    seen: set[str] = set()
    with os.scandir(directory) as entries:
        found = list(entries)
    for entry in found:
        _check_name(entry.name, seen)
        state = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(state.st_mode):
            yield _CLUSTER_SIZE
            yield from _checked_sizes(Path(entry.path))
        elif stat.S_ISREG(state.st_mode):
            yield -(-state.st_size // _CLUSTER_SIZE) * _CLUSTER_SIZE
        else:
            raise InputError(
                f"fill EFI system partition: {entry.name!r}: expected a file or directory, got "
                "a link or special file, which vfat cannot hold"
            )


def _check_name(name: str, seen: set[str]) -> None:
    is_odd = not name.isprintable() or not _FORBIDDEN.isdisjoint(name) or name[-1] in ". "
    if is_odd or len(name) > 255:
        raise InputError(f"fill EFI system partition: {name!r} is no name that vfat can hold")
    if name.upper() in seen:
        raise InputError(
            f"fill EFI system partition: {name!r}: vfat cannot tell it from another name"
        )
    seen.add(name.upper())
