"""Files with all that belongs to them, copied by rsync(1)."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundler.errors import HostError
from bundler.host.files import os_errors
from bundler.host.run import Finished, find_program, run_to_end
from bundler.model.bundle import MIB

MAX_TOLD_COUNT = 1000
"""Most names of vanished files that are kept; our choice."""

_OPTIONS = (
    "--archive",  # links, modes, times, owners, groups, devices, special files
    "--no-recursive",  # the list names every file, so that none comes in that it does not name
    "--hard-links",
    "--acls",
    "--xattrs",  # capabilities and SELinux labels are among them
    "--sparse",
    "--numeric-ids",
    "--from0",
    "--ignore-missing-args",  # what has vanished is found and told by missing_files()
    "--out-format=%l",
)
_VANISHED = 24
"""Exit status when files vanished after rsync had looked at them.  Source: rsync(1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vanished:
    """Files that were there when the list was made, and are gone from the source."""

    count: int
    paths: tuple[bytes, ...]
    """At most MAX_TOLD_COUNT of them."""


def find_rsync() -> Path:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    return find_program("rsync", package="rsync")


def copy_files(
    source: Path, target: Path, paths: BinaryIO, advance: Callable[[int], object]
) -> Vanished:
    """Copy the files that `paths` lists, below `source`, to the same places below `target`.

    `paths` has relative paths that begin with "./", each with a NUL behind it, directories
    before what is in them; its file may be without a name.  (Without "./" rsync takes names
    that begin with # or ; for comments.)  `advance` is called with bytes.

    Raises:
        MissingError: rsync is not installed.
        HostError: a file could not be copied, or not with all that belongs to it.
    """
    argv = (
        find_rsync(),
        *_OPTIONS,
        "--files-from=-",
        f"{source}/",
        f"{target}/",
    )

    said: list[bytes] = []

    def read(line: bytes) -> None:
        if line.isdigit():
            advance(int(line))
        elif not said:  # some complaints come here
            said.append(line)

    paths.seek(0)
    finished = run_to_end(argv, read, source=paths.fileno())
    if finished.status not in (0, _VANISHED):
        raise HostError(_describe(source, finished, b"".join(said)))
    return _find_vanished(source, target, paths)


def _describe(source: Path, finished: Finished, said: bytes) -> str:
    """What to say of a failure: the first thing that went wrong, not the summary at the end."""
    lines = finished.errors.decode(errors="replace").splitlines()
    causes = [line for line in lines if line.strip() and not line.startswith("rsync error: ")]
    whole = [line for line in causes if line.startswith("rsync: ")]  # the first may be cut
    told = (whole or causes or [said.decode(errors="replace")])[0] or (lines or ["no message"])[0]
    status = finished.status
    how = f"exit status {status}" if status >= 0 else f"signal {-status}"
    room = "no room: " if b"No space left on device" in finished.errors else ""
    if "xattr(" in told:
        room = "no room for xattrs, of which ext file systems take 4 KiB a file: " if room else ""
    return f"copy {source}: rsync, {how}: {room}{told}"


def _find_vanished(source: Path, target: Path, paths: BinaryIO) -> Vanished:
    """Compare with the list: rsync tells some of those that vanished only by its status.

    Raises:
        HostError: a file is not in the target though the source still has it.
    """
    count, told = 0, list[bytes]()
    with os_errors("look for what was copied to", target):
        for path in listed_paths(paths):
            if os.path.lexists(os.fsencode(target) + b"/" + path):
                continue
            if os.path.lexists(os.fsencode(source) + b"/" + path):
                shown = os.fsdecode(path)
                raise HostError(f"copy {shown!r}: expected it to be copied, got nothing")
            count += 1
            if len(told) < MAX_TOLD_COUNT:
                told.append(path)
    return Vanished(count=count, paths=tuple(told))


def listed_paths(paths: BinaryIO) -> Iterator[bytes]:
    """The paths of a list that ends each with a NUL.

    Raises:
        OSError: it cannot be read.
    """
    offset, rest = 0, b""
    while chunk := os.pread(paths.fileno(), MIB, offset):
        offset += len(chunk)
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
