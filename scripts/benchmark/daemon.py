"""Servers of the benchmark's own: on the loopback, in processes beside it."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmark.process import BenchError

ADDRESS = "127.0.0.1"
"""Where every server listens, and nowhere else."""
START_SECONDS = 60
"""How long a server may take to answer."""


@contextmanager
def running(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server until the block ends; then it is killed: what it holds is thrown away.

    `env` is added to the environment.
    """
    with Path(log or os.devnull).open("wb") as output:
        server = subprocess.Popen(  # noqa: S603  a list, no shell; arguments are our own
            argv,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield server
    finally:
        server.kill()
        server.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind((ADDRESS, 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def wait_until_up(
    name: str,
    is_up: Callable[[], bool],
    servers: Sequence["subprocess.Popen[bytes]"],
) -> None:
    """Wait until a server answers.

    Raises:
        BenchError: it did not, or has ended.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if any(server.poll() is not None for server in servers):
            raise BenchError(f"{name}: the server has ended instead of starting")
        if is_up():
            return
        time.sleep(0.2)
    raise BenchError(f"{name}: the server did not start within {START_SECONDS} s")


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU seconds, user and system, that running processes have used so far."""
    ticks = 0
    for pid in pids:
        # Behind the name, which is in parentheses, come the state, ten numbers, and ours.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
