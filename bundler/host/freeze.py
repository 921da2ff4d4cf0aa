"""File systems that stand still while they are copied; nothing that we do leaves one frozen.

Source: fsfreeze(8), ioctl FIFREEZE and FITHAW of linux/fs.h.
"""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundler.errors import UsageError
from bundler.host.files import os_errors
from bundler.host.run import background

_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878

_WATCHMAN = """
import fcntl, os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
held = [os.open(path, os.O_RDONLY) for path in sys.argv[2:]]
os.write(1, b"ready")
while os.read(0, 1):
    pass
for descriptor in held:
    try:
        fcntl.ioctl(descriptor, int(sys.argv[1]), 0)
    except OSError:
        pass
"""
"""Waits until nobody has the other end of its input any more, however that came, then thaws."""


def check_may_freeze(mount_points: Sequence[Path], writers: Sequence[Path]) -> None:
    """Refuse to freeze what we would write to ourselves: that would wait for ever.

    `writers` are the directories that are written to while the file systems are frozen.

    Raises:
        UsageError: one lies on such a file system, or our own output does.
        HostError: one cannot be looked at.
    """
    with os_errors("look at", "what is to be frozen"):
        frozen = {path.stat().st_dev: path for path in mount_points}
        for writer in writers:
            if (path := frozen.get(writer.stat().st_dev)) is not None:
                raise UsageError(
                    f"freeze {path}: expected another file system for {writer}, which is written "
                    "to meanwhile; name one with --scratch-dir (and -d), or leave out --freeze"
                )
    for stream in (sys.stdout, sys.stderr):
        try:
            device = os.fstat(stream.fileno()).st_dev
        except (OSError, ValueError, AttributeError):
            continue
        if (path := frozen.get(device)) is not None:
            raise UsageError(
                f"freeze {path}: expected our output to go elsewhere, got a file on it; "
                "send it to another file system, or leave out --freeze"
            )


@contextmanager
def frozen(mount_points: Sequence[Path]) -> Iterator[None]:
    """Keep file systems from changing in the block: whoever writes to one waits.

    A process of its own thaws them when the block ends or this process does, even by SIGKILL.

    Raises:
        HostError: one cannot be frozen: its type knows no freezing, it is frozen already, or
            this process may not (CAP_SYS_ADMIN).
    """
    argv: tuple[str | Path, ...] = (
        sys.executable,
        "-I",
        "-S",
        "-c",
        _WATCHMAN,
        str(_FITHAW),
        *mount_points,
    )
    # What is imported from now on must not be written back compiled.
    keeps, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with background(argv, ready=b"ready"):
            for path in mount_points:
                with os_errors("freeze", path):
                    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    try:
                        fcntl.ioctl(descriptor, _FIFREEZE, 0)
                    finally:
                        os.close(descriptor)
            yield
    finally:
        sys.dont_write_bytecode = keeps
