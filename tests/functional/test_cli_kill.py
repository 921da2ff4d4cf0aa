"""publish, upload and download killed (SIGKILL) at random moments, then run again.

The moment is a request to S3, counted by the proxy, and a little time behind it, both from a
seed that stands in the test's name.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle, unbundle
from tests.support.cloud import REGION, S3_SERVERS, CloudServer, cloud_server, make_bucket
from tests.support.images import random_bytes
from tests.support.processes import kill_at
from tests.support.stored import (
    check_nothing_sent_twice,
    check_whole,
    read_files,
    sent_parts,
    stored_objects,
)
from tests.support.tools import Outcome, cli_argv, cli_environment, run_program

KILL_COUNTS = {"upload": 20, "publish": 30, "publish-snapshot": 4, "download": 10}
"""Moments at which each command is killed, half of them on each server."""

SLOW_KILL_COUNT = 50
"""The same for each command with scripts/test --slow."""

PART_COUNT = 12
PART_SIZE = 100_000
BUCKET = "images"


@pytest.fixture(scope="module", params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudServer]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        directory = tmp_path_factory.mktemp("cloud")
        with cloud_server(monkeypatch, directory, s3=request.param) as running:
            make_bucket(running, BUCKET)
            yield running


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "root.img"
    path.write_bytes(random_bytes(PART_COUNT * PART_SIZE - 50_000, 11))
    return path


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the image on the disk."""
    return bundle(image, tmp_path_factory.mktemp("bundle"), "--part-size", str(PART_SIZE))


def argv_of(server: CloudServer, words: list[str | Path]) -> list[str]:
    options = ("--endpoint-url", server.url, "--region", REGION, "--max-concurrency", "2")
    return cli_argv(*words, *options)


def run(server: CloudServer, words: list[str | Path]) -> Outcome:
    environment = cli_environment(**server.credentials)
    return run_program(*argv_of(server, words), environment=environment)


def kill(server: CloudServer, words: list[str | Path], random: Random) -> int:
    """Start a command and kill it at a random moment; its exit code."""
    moment = random.randrange(PART_COUNT + 12)
    delay = random.choice((0.0, random.uniform(0, 0.005), random.uniform(0, 0.05)))
    return kill_at(server, argv_of(server, words), moment, delay)


def check_killed_then_finished(
    server: CloudServer, words: list[str | Path], name: str, random: Random
) -> dict[str, bytes]:
    """Kill a command that sends, and run it again; what S3 has then."""
    code = kill(server, words, random)
    assert code in (0, -signal.SIGKILL)
    before = stored_objects(server, BUCKET, f"{name}/")
    assert check_whole(before) or code != 0
    server.requests.clear()
    outcome = run(server, words)
    assert outcome.code == 0, outcome.errors
    after = stored_objects(server, BUCKET, f"{name}/")
    assert check_whole(after)
    check_nothing_sent_twice(server, before, after)
    return after


def seeds(command: str) -> list[ParameterSet]:
    """Seeds for one server; those beyond the usual count are slow."""
    usual = KILL_COUNTS[command] // len(S3_SERVERS)
    return [
        pytest.param(seed, marks=() if seed < usual else pytest.mark.slow)
        for seed in range(SLOW_KILL_COUNT // len(S3_SERVERS))
    ]


@pytest.mark.parametrize("seed", seeds("upload"))
def test_upload(server: CloudServer, manifest: Path, seed: int) -> None:
    name = f"upload-{seed}"
    words: list[str | Path] = ["upload", manifest, f"s3://{BUCKET}/{name}", "--acl", "none"]
    stored = check_killed_then_finished(server, words, name, Random(f"{server.s3}-{name}"))
    assert stored == read_files(manifest.parent)


def check_publish(
    server: CloudServer, source: str | Path, name: str, directory: Path
) -> tuple[bytes, Path]:
    """Kill publish and run it again; the start of what its bundle unbundles to, and the file."""
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", source, f"s3://{BUCKET}/{name}", "--name", name]
    words += ["--part-size", str(PART_SIZE), "--acl", "none", "--account", "123456789012"]
    words += ["--level", "fast", "--state-dir", directory / "state", *keys]
    random = Random(f"{server.s3}-{name}")
    code = kill(server, words, random)
    assert code in (0, -signal.SIGKILL)
    before = stored_objects(server, BUCKET, f"{name}/")
    assert check_whole(before) or code != 0
    state = directory / "state"
    if state.exists() and not any(state.iterdir()) and check_whole(before):
        code = 0  # killed behind its last step, which is to forget the run
    if code:
        server.requests.clear()
        outcome = run(server, words)
        assert outcome.code == 0, outcome.errors
        assert outcome.text.startswith("ami-")
    after = stored_objects(server, BUCKET, f"{name}/")
    assert check_whole(after)
    if code:
        check_nothing_sent_twice(server, before, after)
    assert read_files(state) == {}
    out = directory / "out"
    out.mkdir()
    for file_name, body in after.items():
        (out / file_name).write_bytes(body)
    (manifest,) = out.glob("*.manifest.xml")
    back = directory / "back.img"
    unbundled = unbundle(manifest, back)
    assert unbundled.code == 0, unbundled.errors
    with back.open("rb") as file:
        return file.read(PART_COUNT * PART_SIZE), back


@pytest.mark.parametrize("seed", seeds("publish"))
def test_publish(server: CloudServer, image: Path, tmp_path: Path, seed: int) -> None:
    start, _ = check_publish(server, image, f"publish-{seed}", tmp_path)
    assert start == image.read_bytes()


@pytest.mark.parametrize("seed", seeds("publish-snapshot"))
def test_publish_of_a_snapshot(server: CloudServer, image: Path, tmp_path: Path, seed: int) -> None:
    made = run(server, ["snapshot", image, "--state-dir", tmp_path / "state"])
    assert made.code == 0, made.errors
    source = made.text.strip()
    start, back = check_publish(server, source, f"publish-snapshot-{seed}", tmp_path)
    size = image.stat().st_size
    assert start == image.read_bytes() + bytes(PART_COUNT * PART_SIZE - size)
    assert back.stat().st_size == 1024**3


@pytest.mark.parametrize("seed", seeds("download"))
def test_download(server: CloudServer, manifest: Path, tmp_path: Path, seed: int) -> None:
    random = Random(f"{server.s3}-download-{seed}")
    url = f"s3://{BUCKET}/download"
    uploaded = run(server, ["upload", manifest, url, "--acl", "none"])
    assert uploaded.code == 0, uploaded.errors
    words: list[str | Path] = ["download", f"{url}/{manifest.name}", "-d", tmp_path]
    assert kill(server, words, random) in (0, -signal.SIGKILL)
    whole = read_files(manifest.parent)
    before = read_files(tmp_path)
    assert before.items() <= whole.items()
    check_whole(before)
    server.requests.clear()
    outcome = run(server, words)
    assert outcome.code == 0, outcome.errors
    assert read_files(tmp_path) == whole
    got = {request.path.rpartition("/")[2] for request in server.requests}
    assert not {name for name in before if ".part." in name} & got
    assert sent_parts(server) == []
