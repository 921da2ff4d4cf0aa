"""snapshot and convert killed (SIGKILL) at random moments, then run again: no block goes twice."""

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import boto3
import pytest

from bundler.embedded.ebs import BLOCK_SIZE
from tests.support.bundles import USER_CERT, USER_KEY, bundle
from tests.support.cloud import REGION, CloudServer, cloud_server
from tests.support.ebs import only_snapshot, remembered_blocks, volume_start, written_blocks
from tests.support.images import random_bytes
from tests.support.processes import kill_at
from tests.support.tools import Outcome, cli_argv, cli_environment, run_program

BLOCK_COUNT = 24
CONCURRENCY = 2
KILL_COUNT = 3
"""Moments at which each command is killed."""
SLOW_KILL_COUNT = 40
"""The same with scripts/test --slow."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "disk.img"
    path.write_bytes(random_bytes(BLOCK_COUNT * BLOCK_SIZE - 5000, 1))
    return path


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of it on the disk."""
    return bundle(image, tmp_path_factory.mktemp("bundle"), "--level", "fast")


def argv_of(server: CloudServer, directory: Path, *words: str | Path) -> list[str]:
    place = ("--endpoint-url", server.url, "--region", REGION)
    options = ("--max-concurrency", str(CONCURRENCY), "--state-dir", directory / "state")
    return cli_argv(*words, *place, *options)


def check_killed_then_finished(
    server: CloudServer, argv: list[str], state: Path, image: Path, random: Random, moment: int
) -> Outcome | None:
    """Kill a command and run it again: one snapshot, no finished block sent twice."""
    delay = random.choice((0.0, random.uniform(0, 0.01), random.uniform(0, 0.05)))
    code = kill_at(server, argv, moment, delay)
    assert code in (0, -signal.SIGKILL)
    made = list(server.ebs.snapshots.values())
    if made and not any(state.iterdir()):
        code = 0  # killed behind its last step, which is to forget the run
    was_sealed = "CompleteSnapshot" in [request.operation for request in server.ebs.requests]
    assert was_sealed or all(snapshot.state == "pending" for snapshot in made)
    finished = remembered_blocks(state)
    sent = written_blocks(server.ebs)
    assert finished <= set(sent)
    assert len(sent) - len(finished) <= CONCURRENCY or code == 0
    outcome = None
    if code:
        server.ebs.requests.clear()
        outcome = run_program(*argv, environment=cli_environment(**server.credentials))
        assert outcome.code == 0, outcome.errors
        again = written_blocks(server.ebs)
        assert set(again) == set(range(BLOCK_COUNT)) - finished
        # What the killed one had on its way may be taken after its death.
        assert len(again) <= BLOCK_COUNT - len(finished) + CONCURRENCY
    made_at_last = only_snapshot(server.ebs)
    assert made_at_last.state == "completed"
    assert volume_start(made_at_last, image.stat().st_size) == image.read_bytes()
    assert list(state.iterdir()) == []
    return outcome


seeds = pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=() if seed < KILL_COUNT else pytest.mark.slow)
        for seed in range(SLOW_KILL_COUNT)
    ],
)


@seeds
def test_snapshot(server: CloudServer, tmp_path: Path, image: Path, seed: int) -> None:
    random = Random(f"snapshot-{seed}")
    argv = argv_of(server, tmp_path, "snapshot", image)
    # The first ones: StartSnapshot, CompleteSnapshot, and a look at what it has done.
    first = (0, BLOCK_COUNT + 1, BLOCK_COUNT + 2)
    moment = first[seed] if seed < len(first) else random.randrange(1, BLOCK_COUNT + 1)
    outcome = check_killed_then_finished(server, argv, tmp_path / "state", image, random, moment)
    assert outcome is None or outcome.text.strip() == only_snapshot(server.ebs).snapshot_id


@seeds
def test_convert(
    server: CloudServer, tmp_path: Path, image: Path, manifest: Path, seed: int
) -> None:
    random = Random(f"convert-{seed}")
    keys = ("--key", USER_KEY, "--cert", USER_CERT, "--name", "new 1", "--force")
    argv = argv_of(server, tmp_path, "convert", manifest, *keys)
    # In front of the blocks: the AMI's name, StartSnapshot.  Behind them: CompleteSnapshot, the
    # snapshot, RegisterImage, the AMI.
    first = (BLOCK_COUNT + 4, BLOCK_COUNT + 5)
    moment = first[seed] if seed < len(first) else random.randrange(1, BLOCK_COUNT + 4)
    outcome = check_killed_then_finished(server, argv, tmp_path / "state", image, random, moment)
    (ami,) = boto3.client("ec2", region_name=REGION, endpoint_url=server.url).describe_images(
        Owners=["self"]
    )["Images"]
    assert outcome is None or outcome.text.strip() == ami["ImageId"]
