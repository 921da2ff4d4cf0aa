"""Random schedules of faults between `snapshot` and EBS, and what must hold after each.

The command finishes, or fails with one of the codes that say so.  Whatever it was, a snapshot
that is completed has all its bytes; and the same command, run again without faults, finishes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bundler.embedded.ebs import BLOCK_SIZE
from tests.support.cloud import REGION, CloudServer, cloud_server
from tests.support.ebs import (
    clear_snapshots,
    only_snapshot,
    remembered_blocks,
    volume_start,
    written_blocks,
)
from tests.support.faults import Fault, FaultKind
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.tools import Outcome, cli_environment

SCHEDULE_COUNT = 8
"""Seeds that are tried."""
SLOW_SCHEDULE_COUNT = 150
"""The same with scripts/test --slow."""

BLOCK_COUNT = 6
KINDS = [kind for kind in FaultKind if kind is not FaultKind.SLOW]
STATUSES = (500, 503, 400, 403, 404, 409)
TARGETS = (
    ("PUT", "/blocks/"),
    ("PUT", "/blocks/"),
    ("POST", "/snapshots/completion/"),
    ("POST", "/snapshots"),
    ("POST", "/"),
)
"""Blocks, sealing, any of EBS's own, and all that is asked of EBS or EC2."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudServer]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        directory = tmp_path_factory.mktemp("cloud")
        with cloud_server(monkeypatch, directory) as running:
            yield running


def random_faults(random: Random) -> list[Fault]:
    faults = []
    for _ in range(random.randint(1, 4)):
        kind = random.choice(KINDS)
        method, path = random.choice(TARGETS)
        if kind in (FaultKind.CORRUPT_REQUEST, FaultKind.CORRUPT_RESPONSE):
            method, path = TARGETS[0]  # HTTP alone cannot tell of a bit that flips in JSON or XML
        fault = Fault(
            kind=kind,
            method=method,
            path=path,
            after=random.choice((0, 0, 1, 2, 3, 5)),
            times=random.choice((1, 1, 1, 2, 3, 8)),
            at=random.choice((0, 1, 100, BLOCK_SIZE // 2, BLOCK_SIZE - 1)),
            status=random.choice(STATUSES),
            seconds=30.0 if kind is FaultKind.HANG else 0.0,
        )
        faults.append(fault)
    return faults


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=() if seed < SCHEDULE_COUNT else pytest.mark.slow)
        for seed in range(SLOW_SCHEDULE_COUNT)
    ],
)
def test_schedule(server: CloudServer, tmp_path: Path, seed: int) -> None:
    random = Random(f"snapshot-{seed}")
    image = tmp_path / "disk.img"
    image.write_bytes(random_bytes(BLOCK_COUNT * BLOCK_SIZE - 4000, seed))
    clear_snapshots(server.ebs)
    server.faults.add(*random_faults(random))
    outcome = snapshot(server, image, timeout="0.4")
    server.faults.clear()
    assert outcome.code in (0, 6, 7), outcome.errors
    check_completed(server, image, is_expected=outcome.code == 0)
    if outcome.code:
        finished = remembered_blocks(tmp_path / "state")
        before = set(server.ebs.snapshots)
        server.ebs.requests.clear()
        outcome = snapshot(server, image)
        assert outcome.code == 0, outcome.errors
        assert set(server.ebs.snapshots) == before or not before
        assert not finished & set(written_blocks(server.ebs))
        check_completed(server, image, is_expected=True)
    assert json.loads(outcome.text)["snapshot_id"] == only_snapshot(server.ebs).snapshot_id
    assert list((tmp_path / "state").iterdir()) == []


def snapshot(server: CloudServer, image: Path, *, timeout: str = "30") -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION, "--json")
    quick = ("--max-attempts", "4", "--retry-delay", "0.005", "--timeout", timeout)
    words: list[str | Path] = ["snapshot", image, "--state-dir", image.parent / "state"]
    return run_here(*words, *options, *quick, environment=cli_environment(**server.credentials))


def check_completed(server: CloudServer, image: Path, *, is_expected: bool) -> None:
    completed = [made for made in server.ebs.snapshots.values() if made.state == "completed"]
    assert completed or not is_expected
    for made in completed:
        assert volume_start(made, image.stat().st_size) == image.read_bytes()
