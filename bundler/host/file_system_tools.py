"""The file systems' own programs, asked about an image that is open: nothing is written.

They are given the open file by its descriptor, so that they see the very file that is read,
and no name of it is taken for an option or an offset.
"""

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from bundler.errors import HostError, InputError
from bundler.host.run import find_program, run_lines

_E2FSPROGS, _XFSPROGS = "e2fsprogs", "xfsprogs"


def check_unused(descriptor: int, subject: str) -> None:
    """Refuse a block device that is mounted, or of which a partition is.

    Raises:
        InputError: it is in use.
        HostError: the device refuses.
    """
    if not stat.S_ISBLK(os.fstat(descriptor).st_mode):
        return
    try:
        # Of a device O_EXCL asks the kernel for what a mount has already.  Source: open(2).
        os.close(os.open(_path(descriptor), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        raise InputError(
            f"{subject}: expected a device that is not in use, got {error.strerror}; unmount it"
        ) from error


def list_ext_blocks(descriptor: int, offset: int) -> Generator[bytes, None, None]:
    """Lines of dumpe2fs about the ext2, ext3 or ext4 file system at `offset`.

    Raises:
        MissingError: e2fsprogs is not installed.
        HostError: the program failed.
    """
    program = find_program("dumpe2fs", package=_E2FSPROGS)
    return run_lines((program, _at(descriptor, offset)), inherit=(descriptor,))


def check_ext(descriptor: int, offset: int, subject: str) -> None:
    """Let e2fsck make sure that what is not in use is free, and nothing else.

    Raises:
        MissingError: e2fsprogs is not installed.
        InputError: it is damaged.
    """
    program = find_program("e2fsck", package=_E2FSPROGS)
    _check((program, "-f", "-n", _at(descriptor, offset)), descriptor, subject)


def list_xfs_blocks(descriptor: int, fields: Sequence[str]) -> Generator[bytes, None, None]:
    """Lines of xfs_db: `fields` of the superblock, then the free blocks.

    Raises:
        MissingError: xfsprogs is not installed.
        HostError: the program failed.
    """
    program = find_program("xfs_db", package=_XFSPROGS)
    words = ("-r", *_is_file(descriptor), "-c", "sb 0", "-c", f"print {' '.join(fields)}")
    return run_lines((program, *words, "-c", "freesp -d", _path(descriptor)), inherit=(descriptor,))


def check_xfs_log(descriptor: int, subject: str) -> None:
    """Refuse an xfs whose log holds changes that are not in their places yet.

    Raises:
        MissingError: xfsprogs is not installed.
        InputError: there are some, or the log cannot be read.
    """
    program = find_program("xfs_logprint", package=_XFSPROGS)
    state = b""
    try:
        with closing(run_lines((program, "-t", _path(descriptor)), inherit=(descriptor,))) as lines:
            for line in lines:
                if b" state: " in line:
                    state = line.rpartition(b" state: ")[2].strip()
                    break
    except HostError as error:
        raise InputError(f"{subject}: its log cannot be read: {error}") from error
    if state != b"<CLEAN>":
        raise InputError(
            f"{subject}: it was not unmounted: mount and unmount it, or see xfs_repair"
        )


def check_xfs(descriptor: int, subject: str) -> None:
    """Let xfs_repair make sure that what is not in use is free, and nothing else.

    Raises:
        MissingError: xfsprogs is not installed.
        InputError: it is damaged.
    """
    program = find_program("xfs_repair", package=_XFSPROGS)
    _check((program, "-n", *_is_file(descriptor), _path(descriptor)), descriptor, subject)


def _check(argv: Sequence[str | Path], descriptor: int, subject: str) -> None:
    name = Path(argv[0]).name
    try:
        for _ in run_lines(argv, inherit=(descriptor,)):  # what it says may be long
            pass
    except HostError as error:
        raise InputError(f"{subject}: {name} finds it damaged; run {name}") from error


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _at(descriptor: int, offset: int) -> str:
    """As libext2fs takes an offset.  Source: lib/ext2fs/unix_io.c, option offset."""
    return f"{_path(descriptor)}?offset={offset}" if offset else _path(descriptor)


def _is_file(descriptor: int) -> tuple[str, ...]:
    """The option of xfsprogs for what is no device."""
    return ("-f",) if stat.S_ISREG(os.fstat(descriptor).st_mode) else ()
