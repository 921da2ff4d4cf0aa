"""File systems of the ext family: what dumpe2fs(8) tells, and the words for mke2fs(8)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.host.run import Finished, find_program, run, run_to_end
from bundler.model.file_system import FileSystem

PACKAGE = "e2fsprogs"

RESERVED_PERCENT = 1
"""Of the blocks, for root alone; our choice: mke2fs's five are for disks of another age."""

_STATES = frozenset(("needs_recovery", "orphan_present", "journal_dev"))
"""What dumpe2fs calls features, but is so only for a while, or of another kind of file system."""

_NOT_KEPT = frozenset(("encrypt", "quota", "bigalloc", "casefold", "shared_blocks", "read-only"))
"""What belongs to files or sizes that are not copied with it."""

_IS_WORD = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_MAX_FEATURE_COUNT = 64
_SIZES = tuple(2**power for power in range(7, 17))


def read_ext(device: Path, known: FileSystem) -> FileSystem:
    """`known`, with features and sizes.

    Raises:
        MissingError: dumpe2fs is not installed.
        HostError: it fails.
    """
    output = run((find_program("dumpe2fs", package=PACKAGE), "-h", device))
    # The label and other fields may hold line feeds; what is taken from them is only words.
    pairs = (line.partition(":") for line in output.decode(errors="replace").splitlines())
    fields = {name: value.split() for name, _, value in pairs}
    words = fields.get("Filesystem features", [])[:_MAX_FEATURE_COUNT]
    return replace(
        known,
        features=tuple(word for word in words if _IS_WORD.match(word) and word not in _STATES),
        block_size=_size(fields.get("Block size")),
        inode_size=_size(fields.get("Inode size")),
    )


def _size(words: Sequence[str] | None) -> int:
    number = int(words[0]) if words and re.match(r"[0-9]{1,6}\Z", words[0]) else 0
    return number if number in _SIZES else 0


def mke2fs_argv(
    target: Path,
    wanted: FileSystem,
    *,
    extended: Sequence[str] = (),
    inherit: Sequence[int] = (),
) -> tuple[list[str | Path], FileSystem, tuple[str, ...]]:
    """The command up to, and without, the target; the file system that it makes, and notes.

    All bytes of the target are zero, so that nobody, and no kernel later, need write zeros
    there.  `extended` are more words for -E; `inherit` the descriptors that `target` names.

    Raises:
        MissingError: mke2fs is not installed.
        HostError: it cannot be run.
    """
    argv: list[str | Path] = [find_program("mke2fs", package=PACKAGE), "-q", "-F"]
    argv += ["-t", wanted.type.value, "-m", str(RESERVED_PERCENT)]
    for option, value in (
        ("-U", wanted.uuid),
        ("-L", wanted.label),
        ("-b", wanted.block_size),
        ("-I", wanted.inode_size),
        ("-N", wanted.inode_count),
    ):
        if value:
            argv += [option, str(value)]
    words = ["nodiscard", *extended]
    prezeroed = "assume_storage_prezeroed=1"
    dry_run = _DryRun(mke2fs=argv[0], target=target, inherit=inherit)
    if dry_run.takes("-E", prezeroed):
        words.append(prezeroed)
    else:
        words += ["lazy_itable_init=1", "lazy_journal_init=1"]
    argv += ["-E", ",".join(words)]
    kept, dropped = _features(dry_run, wanted.features)
    if wanted.features:
        argv += ["-O", ",".join(("none", *kept))]
    notes = tuple(
        f"{wanted.type.value} file system: the feature {word} cannot be kept" for word in dropped
    )
    return argv, replace(wanted, features=kept), notes


def _features(
    dry_run: "_DryRun", features: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that mke2fs makes, and those that are lost."""
    real = tuple(word for word in features if _IS_WORD.match(word) and word not in _STATES)
    kept = tuple(word for word in real if word not in _NOT_KEPT)
    if kept and not dry_run.takes("-O", ",".join(("none", *kept))):
        kept = tuple(word for word in kept if dry_run.knows(word))
    return kept, tuple(word for word in real if word not in kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DryRun:
    """What mke2fs would do; nothing is made."""

    mke2fs: str | Path
    target: Path
    inherit: Sequence[int]

    def takes(self, *words: str) -> bool:
        """Whether it would make such a file system."""
        return self._run(words).status == 0

    def knows(self, feature: str) -> bool:
        """Whether it has such a word; it may be one that needs others."""
        errors = self._run(("-O", f"^{feature}")).errors
        return b"nvalid filesystem option" not in errors

    def _run(self, words: Sequence[str]) -> Finished:
        argv = (self.mke2fs, "-n", "-q", "-F", *words, self.target)
        return run_to_end(argv, lambda _: None, inherit=self.inherit)
