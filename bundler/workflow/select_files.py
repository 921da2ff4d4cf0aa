"""Choose the files of a volume that are copied: one walk, each file decided about once."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bundler.codec.name_rules import EMPTIED_PATHS
from bundler.codec.path_text import show_path
from bundler.codec.rsync_pattern import PatternRule
from bundler.codec.secrets import Secret
from bundler.errors import InputError, VerificationError
from bundler.host.files import os_errors, write_all
from bundler.host.tree import (
    MAX_PATH_SIZE,
    ChangedError,
    Entry,
    list_directory,
    open_directory,
    open_file,
    open_root,
)
from bundler.model.selection import MAX_FINDING_COUNT, Finding, Findings, Selection
from bundler.workflow.inspect_file import find_secret, is_swap
from bundler.workflow.ports import Progress
from bundler.workflow.selection_rules import SelectionRules
from bundler.workflow.tally_usage import UsageTally

MACHINE_DIRECTORIES = frozenset((b"proc", b"sys", b"dev", b"run", b"tmp", b"mnt", b"media"))
"""Directories that are copied without their contents, as lost+found of each file system is."""

_MIN_SWAP_SIZE = 10 * 4096
_BUFFER_SIZE = 256 * 1024
_TOLD_COUNT = 3


def select_files(
    view: Path,
    rules: SelectionRules,
    paths: BinaryIO,
    *,
    boundaries: Sequence[str],
    progress: Progress,
) -> Selection:
    """Walk over `view` and write the paths that are to be copied to the open file `paths`.

    Each is "./" and a relative path, a NUL behind it; a directory comes before what is in it,
    the view itself does not come.  `boundaries` are the mount points in the volume, "/" first:
    what the files need is counted for each.  Memory: one directory's names, the directories
    still ahead, the inodes of files with several names, and what is told.

    Raises:
        MissingError: there is no `view`.
        HostError: a file or directory may not or cannot be read, or the list not be written.
        InputError: a path is longer than Linux takes.
    """
    with open_root(view) as root, progress.task("scan", 0, unit="files") as advance:
        walk = _Walk(root=root, rules=rules, paths=paths, boundaries=tuple(boundaries))
        while walk.ahead:
            advance(walk.step())
        return walk.finish()


def check_no_secrets(selection: Selection) -> None:
    """Refuse a volume on which secrets were found, though they would be left out.

    Raises:
        VerificationError: there are some.
    """
    secrets = selection.secrets
    if secrets.count:
        first = ", ".join(show_path(each.path) for each in secrets.told[:_TOLD_COUNT])
        more = ", ..." if secrets.count > _TOLD_COUNT else ""
        raise VerificationError(
            f"look for secrets: expected none, got {secrets.count}: {first}{more}; "
            "remove them, or --exclude or --include each"
        )


@dataclass(slots=True)
class _Tally:
    count: int = 0
    told: list[Finding] = field(default_factory=list)

    def add(self, path: bytes, reason: str) -> None:
        self.count += 1
        if len(self.told) < MAX_FINDING_COUNT:
            self.told.append(Finding(path=path, reason=reason))

    def findings(self) -> Findings:
        return Findings(count=self.count, told=tuple(self.told))


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A directory that is still to be looked at."""

    path: bytes
    mount_point: str
    is_left_out: bool = False
    """Only what an include of the user's means is copied of it."""


class _Walk:
    def __init__(
        self, *, root: int, rules: SelectionRules, paths: BinaryIO, boundaries: Sequence[str]
    ) -> None:
        self._root = root
        self._rules = rules
        self._paths = paths
        self._boundaries = {os.fsencode(each.strip("/")): each for each in boundaries}
        self.ahead = [_Ahead(b"", self._boundaries.get(b"", "/"))]
        self._usage = UsageTally(boundaries)
        self._left_out, self._secrets, self._suspicious = _Tally(), _Tally(), _Tally()
        self._emptied: list[str] = []
        self._vanished_count = 0
        self._buffer = bytearray()
        self._given_back: set[bytes] = set()
        """Directories whose contents are left out and that are in the list all the same."""

    def step(self) -> int:
        """Look at one directory; the number of names in it."""
        here = self.ahead.pop()
        try:
            with open_directory(self._root, here.path) as directory:
                entries, gone_count = list_directory(directory, here.path)
                self._vanished_count += gone_count
                inner = list[_Ahead]()
                for entry in entries:
                    path = here.path + b"/" + entry.name if here.path else entry.name
                    if len(path) > MAX_PATH_SIZE:
                        raise InputError(
                            f"look at {os.fsdecode(path[:80])}...: expected at most "
                            f"{MAX_PATH_SIZE} bytes of path, got {len(path)}; --exclude it"
                        )
                    inner += self._look(directory, here, path, entry)
        except ChangedError:
            self._vanished_count += 1
            return 0
        self.ahead += reversed(inner)
        return len(entries)

    def finish(self) -> Selection:
        self._write(all_of_it=True)
        return Selection(
            usage=self._usage.usage(),
            size=self._usage.apparent_size,
            file_count=self._usage.file_count,
            directory_count=self._usage.directory_count,
            left_out=self._left_out.findings(),
            secrets=self._secrets.findings(),
            suspicious=self._suspicious.findings(),
            emptied=tuple(self._emptied),
            vanished_count=self._vanished_count,
        )

    def _look(self, directory: int, here: _Ahead, path: bytes, entry: Entry) -> list[_Ahead]:
        """Decide about one name; the directories that are then to be looked at."""
        mode = entry.state.st_mode
        is_directory = stat.S_ISDIR(mode)
        mount_point = self._boundaries.get(path, here.mount_point) if is_directory else ""
        own = self._rules.identities.get((entry.state.st_dev, entry.state.st_ino))
        user = self._rules.user.find(path, is_directory=is_directory)
        is_included = user is not None and user.is_include
        if own is not None:
            self._left_out.add(path, own)
            if is_directory and not here.is_left_out:
                self._take(here, path, entry)
            return []
        if is_included:
            self._look_at_included(directory, path, entry)
        elif here.is_left_out or self._is_left_out(directory, path, entry, user):
            return self._search(path, mount_point, user, is_directory=is_directory)
        self._take(here, path, entry)
        if not is_directory:
            return []
        if not is_included and self._is_machine_directory(path, here):
            if self._has_contents(path):
                self._left_out.add(path, "contents are this machine's alone")
            self._given_back.add(path)
            return self._search(path, mount_point, None, is_directory=True)
        return [_Ahead(path, mount_point)]

    def _search(
        self, path: bytes, mount_point: str, until: PatternRule | None, *, is_directory: bool
    ) -> list[_Ahead]:
        """Look into a directory that is left out if the user may have named something in it."""
        if is_directory and self._rules.user.may_include_below(path, until):
            return [_Ahead(path, mount_point, is_left_out=True)]
        return []

    def _is_machine_directory(self, path: bytes, here: _Ahead) -> bool:
        above, _, name = path.rpartition(b"/")
        return path in MACHINE_DIRECTORIES or (name == b"lost+found" and above in self._boundaries)

    def _has_contents(self, path: bytes) -> bool:
        with open_directory(self._root, path) as directory, os.scandir(directory) as entries:
            return next(entries, None) is not None

    def _is_left_out(
        self, directory: int, path: bytes, entry: Entry, user: PatternRule | None
    ) -> bool:
        """Whether a rule leaves a file out; it is told."""
        if user is not None:
            self._left_out.add(path, user.name)
            return True
        rule = self._rules.names.find(path, is_directory=stat.S_ISDIR(entry.state.st_mode))
        if rule is not None and not rule.is_include and _applies(rule, entry.state.st_mode):
            self._left_out.add(path, rule.name)
            if rule.is_secret:
                self._secrets.add(path, rule.name)
            return True
        secret = self._inspect(directory, path, entry)
        if secret is None or not secret.is_certain:
            if secret is not None:
                self._suspicious.add(path, secret.reason)
            return False
        self._left_out.add(path, secret.reason)
        if secret.reason != _SWAP.reason:
            self._secrets.add(path, secret.reason)
        return True

    def _look_at_included(self, directory: int, path: bytes, entry: Entry) -> None:
        rule = self._rules.names.find(path, is_directory=stat.S_ISDIR(entry.state.st_mode))
        secret = self._inspect(directory, path, entry)
        reason = secret.reason if secret is not None else ""
        if rule is not None and not rule.is_include and _applies(rule, entry.state.st_mode):
            reason = rule.name
        if reason:
            self._suspicious.add(path, f"{reason}; kept by --include")

    def _inspect(self, directory: int, path: bytes, entry: Entry) -> Secret | None:
        """What a regular file is by its content."""
        state = entry.state
        may_be_swap = state.st_size >= _MIN_SWAP_SIZE
        if not stat.S_ISREG(state.st_mode) or not state.st_size:
            return None
        if not may_be_swap and not self._rules.looks_into_files:
            return None
        try:
            with open_file(directory, entry.name, path) as descriptor:
                if may_be_swap and is_swap(descriptor, state.st_size):
                    return _SWAP
                if self._rules.looks_into_files:
                    return find_secret(descriptor, state.st_size, path)
        except ChangedError:
            self._vanished_count += 1
        return None

    def _take(self, here: _Ahead, path: bytes, entry: Entry) -> None:
        """Put a path into the list, and the directories above it that are not yet in it."""
        if here.is_left_out:
            self._give_back_parents(here)
        is_directory = stat.S_ISDIR(entry.state.st_mode)
        if here.is_left_out and is_directory:
            if path in self._given_back:
                return
            self._given_back.add(path)
        self._usage.add(here.mount_point, entry.state)
        is_emptied = path in EMPTIED_PATHS and self._rules.empties
        if is_emptied and stat.S_ISREG(entry.state.st_mode) and entry.state.st_size:
            self._emptied.append("/" + os.fsdecode(path))
        self._buffer += b"./" + path + b"\0"
        self._write()

    def _give_back_parents(self, here: _Ahead) -> None:
        names = here.path.split(b"/")
        for count in range(1, len(names) + 1):
            path = b"/".join(names[:count])
            if path not in self._given_back:
                self._given_back.add(path)
                self._usage.add_directory(here.mount_point)
                self._buffer += b"./" + path + b"\0"

    def _write(self, *, all_of_it: bool = False) -> None:
        if all_of_it or len(self._buffer) >= _BUFFER_SIZE:
            with os_errors("write", "the list of files"):
                write_all(self._paths, bytes(self._buffer))
                self._paths.flush()
            self._buffer.clear()


_SWAP = Secret(reason="swap space")


def _applies(rule: PatternRule, mode: int) -> bool:
    if stat.S_ISLNK(mode):
        return rule.takes_links
    return rule.takes_directories or not stat.S_ISDIR(mode)
