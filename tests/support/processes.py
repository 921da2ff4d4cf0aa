"""Our command line in a process of its own: killed at a moment, or asking on a terminal."""

import os
import pty
import subprocess
import threading
from collections.abc import Sequence

from tests.support.cloud import CloudServer
from tests.support.faults import Request
from tests.support.tools import cli_environment

PATIENCE = 60.0


def kill_at(server: CloudServer, argv: Sequence[str], moment: int, delay: float) -> int:
    """Start a command and kill it at a request, counted from 0, and `delay` seconds behind it.

    Its exit code: it may be through before.
    """
    ready = threading.Event()
    lock = threading.Lock()
    count = 0

    def intercept(request: Request) -> None:
        nonlocal count
        with lock:
            is_moment = count == moment
            count += 1
        if is_moment:
            assert ready.wait(PATIENCE)
            threading.Timer(delay, process.kill).start()
            if not delay:
                process.wait(PATIENCE)

    server.intercept = intercept
    process = subprocess.Popen(  # noqa: S603 - a test's own words, and no shell
        argv,
        env=cli_environment(**server.credentials),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ready.set()
    code = process.wait(PATIENCE)
    server.intercept = lambda request: None
    return code


def type_to(
    server: CloudServer, argv: Sequence[str], words: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command on a terminal where somebody types `words`."""
    leader, follower = pty.openpty()
    try:
        os.write(leader, words.encode())
        return subprocess.run(  # noqa: S603 - a test's own words, and no shell
            argv,
            stdin=follower,
            capture_output=True,
            env=cli_environment(**server.credentials),
            timeout=PATIENCE,
            check=False,
        )
    finally:
        os.close(leader)
        os.close(follower)
