"""snapshot killed (SIGKILL) at random moments, then run again: no finished block goes twice."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.cloud import REGION, CloudServer, cloud_server
from tests.support.ebs import BLOCK_SIZE
from tests.support.faults import Request
from tests.support.images import random_bytes
from tests.support.tools import cli_argv, cli_environment, run_program

BLOCK_COUNT = 24
CONCURRENCY = 2
KILL_COUNT = 5
"""Moments at which the command is killed."""
SLOW_KILL_COUNT = 50
"""The same with scripts/test --slow."""
PATIENCE = 60.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def kill_at(server: CloudServer, argv: list[str], moment: int, delay: float) -> int:
    """Start a command and kill it at a request, counted from 0; its exit code."""
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


def remembered_blocks(directory: Path) -> set[int]:
    """Blocks that the state file says are finished."""
    lines = [line for path in directory.iterdir() for line in path.read_text().split("\n")[:-1]]
    return {record["block"] for record in map(json.loads, lines) if "block" in record}


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=() if seed < KILL_COUNT else pytest.mark.slow)
        for seed in range(SLOW_KILL_COUNT)
    ],
)
def test_killed_then_finished(server: CloudServer, tmp_path: Path, seed: int) -> None:
    random = Random(f"snapshot-{seed}")
    image = tmp_path / "disk.img"
    image.write_bytes(random_bytes(BLOCK_COUNT * BLOCK_SIZE - 5000, seed))
    place = ("--endpoint-url", server.url, "--region", REGION)
    options = ("--max-concurrency", str(CONCURRENCY), "--state-dir", tmp_path / "state")
    argv = cli_argv("snapshot", image, *place, *options)
    # The first ones: StartSnapshot, CompleteSnapshot, and what comes behind it.
    moment = [0, BLOCK_COUNT + 1, BLOCK_COUNT + 2][seed] if seed < 3 else 0
    if seed >= 3:
        moment = random.randrange(1, BLOCK_COUNT + 1)
    delay = random.choice((0.0, random.uniform(0, 0.01), random.uniform(0, 0.05)))
    code = kill_at(server, argv, moment, delay)
    assert code in (0, -signal.SIGKILL)
    made = list(server.ebs.snapshots.values())
    was_sealed = "CompleteSnapshot" in [request.operation for request in server.ebs.requests]
    assert was_sealed or all(snapshot.state == "pending" for snapshot in made)
    finished = remembered_blocks(tmp_path / "state")
    sent = server.ebs.written()
    assert finished <= set(sent)
    assert len(sent) - len(finished) <= CONCURRENCY or code == 0
    if code:
        server.ebs.requests.clear()
        outcome = run_program(*argv, environment=cli_environment(**server.credentials))
        assert outcome.code == 0, outcome.errors
        again = server.ebs.written()
        assert not finished & set(again)
        assert len(finished) + len(again) == BLOCK_COUNT
        assert outcome.text.strip() == server.ebs.only().snapshot_id
    made_at_last = server.ebs.only()
    assert made_at_last.state == "completed"
    assert made_at_last.image(image.stat().st_size) == image.read_bytes()
    assert list((tmp_path / "state").iterdir()) == []
