"""A snapshot of the logical volume (LVM2) that a mounted file system is on, itself mounted.

Written after the manual pages, and tested with programs that stand in for LVM's: it was never
run on real logical volumes.

Sources: lvs(8), lvcreate(8), lvremove(8), lvmthin(7).
"""

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import HostError, MissingError, UsageError
from bundler.host.files import os_errors
from bundler.host.mounts import mounted
from bundler.host.run import find_program, run, run_through

PREFIX = "ami-bundler-snapshot-"
"""Of the names of snapshots."""

ORIGIN_SHARE = 5
"""What part of its origin's size a snapshot gets (one fifth), as far as there is room; our
choice.  It must hold what is overwritten on the origin meanwhile."""

_PACKAGE = "lvm2"
_COLUMNS = (
    "vg_name",
    "lv_name",
    "lv_path",
    "lv_attr",
    "lv_size",
    "vg_free",
    "data_percent",
    "lv_kernel_major",
    "lv_kernel_minor",
)
_SEPARATOR = "|"
"""In no name that LVM allows."""

_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*\Z")
_ATTRIBUTES_SIZE = 6
"""Least letters of lv_attr that are needed: type, three others, state, whether it is open."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalVolume:
    """One line of lvs; sizes in bytes."""

    group: str
    name: str
    path: Path
    attributes: str
    size: int
    free_size: int
    """Of its volume group."""
    data_percent: float
    """Of a snapshot, how full it is; 0 where there is nothing to tell."""
    device: tuple[int, int]
    """Major and minor number; (-1, -1) when it is not active."""

    @property
    def full_name(self) -> str:
        """As LVM's programs take it."""
        return f"{self.group}/{self.name}"

    @property
    def is_thin(self) -> bool:
        """Whether it is in a thin pool, which its snapshots share."""
        return self.attributes[0] == "V"

    @property
    def is_open(self) -> bool:
        """Whether it is in use, mounted for one."""
        return self.attributes[5] == "o"

    @property
    def is_overfull(self) -> bool:
        """Whether it is a snapshot that has lost what it was to keep."""
        is_invalid = self.attributes[4] in "IS"
        return is_invalid or (not self.is_thin and self.data_percent >= 100)


def find_logical_volume(mount_point: Path) -> LogicalVolume | None:
    """The logical volume that is mounted there; None: it is none, or there is no LVM.

    Raises:
        HostError: LVM cannot be asked, or what it says cannot be understood.
    """
    try:
        found = _logical_volumes()
    except MissingError:
        return None
    with os_errors("look at", mount_point):
        device = mount_point.stat().st_dev
    number = (os.major(device), os.minor(device))
    return next((one for one in found if one.device == number), None)


def plan_snapshot(mount_point: Path) -> tuple[LogicalVolume, int]:
    """What a snapshot would be of, and its size in bytes; 0: its thin pool has the room.

    Raises:
        UsageError: no logical volume is mounted there.
        MissingError: a program of LVM is not installed.
        HostError: the volume group has no room, or LVM cannot be asked.
    """
    for program in ("lvcreate", "lvremove"):
        find_program(program, package=_PACKAGE)
    origin = find_logical_volume(mount_point)
    if origin is None:
        raise UsageError(f"--snapshot lvm: expected {mount_point} to be on a logical volume")
    if origin.is_thin:
        return origin, 0
    if not origin.free_size:
        raise HostError(
            f"make a snapshot of {origin.full_name}: expected room in the volume group "
            f"{origin.group}, got none free; extend it (vgextend), or use --snapshot none"
        )
    return origin, min(origin.size // ORIGIN_SHARE, origin.free_size)


@contextmanager
def mounted_snapshot(mount_point: Path, target: Path, kind: str) -> Iterator[Path]:
    """A snapshot of what is mounted there, of type `kind`, mounted read-only at `target`.

    It can be written to itself, so that a log is replayed in it.  It is removed when the block
    ends; snapshots of runs that were killed are removed first.

    Raises:
        UsageError: no logical volume is mounted there, or only a directory of one.
        MissingError: a program of LVM is not installed.
        HostError: there is no room, a program failed, or, when the block ends, more was written
            to the origin meanwhile than the snapshot could hold: what was read may be wrong.
    """
    _remove_leftovers()
    origin, size = plan_snapshot(mount_point)
    name = f"{PREFIX}{secrets.token_hex(8)}"
    full_name = f"{origin.group}/{name}"
    # A thin snapshot would not be active without -kn; another one must have a size.
    how = ("--size", f"{size}b") if size else ("-kn",)
    lvcreate = find_program("lvcreate", package=_PACKAGE)
    try:
        run_through((lvcreate, "--snapshot", "--name", name, *how, origin.full_name))
    except BaseException:
        with suppress(HostError):  # there is none, in most cases
            _remove(full_name)
        raise
    try:
        options = ("nouuid",) if kind == "xfs" else ()
        device = _find(full_name).path
        with mounted(device, target, kind, options=options, read_only=True):
            _check_same_root(mount_point, target)
            yield target
        if _find(full_name).is_overfull:
            raise HostError(
                f"copy from the snapshot {full_name}: expected it to hold what was overwritten "
                f"meanwhile, got more than {size} bytes; the copy cannot be trusted: stop what "
                "writes, or extend the volume group"
            )
    finally:
        _remove(full_name)


def _check_same_root(mount_point: Path, target: Path) -> None:
    """Of a bind mount the snapshot would show the wrong directory."""
    with os_errors("look at", mount_point):
        is_same = mount_point.stat().st_ino == target.stat().st_ino
    if not is_same:
        raise UsageError(
            f"--snapshot lvm: expected all of a file system at {mount_point}, got a directory of "
            "one (a bind mount)"
        )


def _find(full_name: str) -> LogicalVolume:
    for one in _logical_volumes():
        if one.full_name == full_name:
            return one
    raise HostError(f"look for the snapshot {full_name}: it is gone; somebody has removed it")


def _remove(full_name: str) -> None:
    run_through((find_program("lvremove", package=_PACKAGE), "--yes", full_name))


def _remove_leftovers() -> None:
    """Remove snapshots of ours that nobody has open; one that was just made may be lost.

    Whoever loses his snapshot before he has mounted it fails, and loses nothing else.
    """
    for one in _logical_volumes():
        if not one.name.startswith(PREFIX) or one.is_open:
            continue
        try:
            _remove(one.full_name)
        except HostError as error:
            _logger.warning("a snapshot that an earlier run has left stays: %s", error)
        else:
            _logger.warning("%s, which an earlier run has left, was removed", one.full_name)


def _logical_volumes() -> tuple[LogicalVolume, ...]:
    program = find_program("lvs", package=_PACKAGE)
    form = ("--noheadings", "--nosuffix", "--units", "b", "--separator", _SEPARATOR)
    output = run((program, *form, "-o", ",".join(_COLUMNS)))
    lines = output.decode(errors="replace").splitlines()
    return tuple(_parse(line.strip()) for line in lines if line.strip())


def _parse(line: str) -> LogicalVolume:
    words = line.split(_SEPARATOR)
    try:
        group, name, path, attributes, size, free_size, percent, major, minor = words
        is_good = _NAME.match(group) and _NAME.match(name.strip("[]"))
        if not is_good or len(attributes) < _ATTRIBUTES_SIZE:
            raise ValueError(line)
        return LogicalVolume(
            group=group,
            name=name,
            path=Path(path),
            attributes=attributes,
            size=int(size),
            free_size=int(free_size),
            data_percent=float(percent or 0),
            device=(int(major), int(minor)),
        )
    except ValueError as error:
        raise HostError(
            f"run lvs: expected {len(_COLUMNS)} columns of a logical volume, got {line[:80]!r}"
        ) from error
