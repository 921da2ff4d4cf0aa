"""ami-bundler snapshot: what arrives, what does not, and what a broken network changes of it."""

import json
import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import boto3
import pytest

from bundler.embedded.ebs import BLOCK_SIZE
from bundler.model.bundle import Extent
from tests.support.cloud import REGION, CloudServer, Fault, FaultKind, Reply, cloud_server
from tests.support.ebs import ebs_error, lose_snapshot, only_snapshot, volume_start
from tests.support.faults import Request
from tests.support.images import MIB, Layout, layout_data, random_bytes, write_image
from tests.support.in_process import run_here
from tests.support.tools import Outcome, check_refused, cli_argv, cli_environment, run_program

GIB = 1024 * MIB
MEASURE = Path(__file__).parents[2] / "scripts/benchmark/measure.py"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


def snapshot(server: CloudServer, image: Path, *more: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION, "--retry-delay", "0.01")
    words: list[str | Path] = ["snapshot", image, "--state-dir", image.parent / "state"]
    return run_here(*words, *options, *more, environment=cli_environment(**server.credentials))


def scattered(size: int, run_count: int, run_size: int, seed: int) -> Layout:
    """Runs of data at random places, the first at the image's start, one at its very end."""
    random = Random(seed)
    slot = size // run_count
    starts = [
        index * slot + (random.randrange((slot - run_size) // 4096) * 4096 if index else 0)
        for index in range(run_count - 1)
    ]
    extents = [Extent(offset=start, size=run_size) for start in starts]
    extents.append(Extent(offset=size - run_size, size=run_size))
    return Layout(size=size, extents=tuple(extents))


def refuse_to_complete(request: Request) -> Reply | None:
    """Answer CompleteSnapshot, which ends a run when all blocks are there."""
    if "/completion/" not in request.path:
        return None
    return ebs_error("403 Forbidden", "AccessDeniedException")


def read_back(server: CloudServer, snapshot_id: str) -> dict[int, bytes]:
    """The blocks of a completed snapshot, by AWS's own client."""
    client = boto3.client(
        "ebs",
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - moto takes any
    )
    blocks: dict[int, bytes] = {}
    page = client.list_snapshot_blocks(SnapshotId=snapshot_id)
    while True:
        assert page["BlockSize"] == BLOCK_SIZE
        for item in page["Blocks"]:
            found = client.get_snapshot_block(SnapshotId=snapshot_id, **item)
            blocks[item["BlockIndex"]] = found["BlockData"].read()
        if "NextToken" not in page:
            return blocks
        token = page["NextToken"]
        page = client.list_snapshot_blocks(SnapshotId=snapshot_id, NextToken=token)


def expected_blocks(image: Path) -> dict[int, bytes]:
    """The blocks of an image that are not all zeros, by a walk over its data."""
    blocks: dict[int, bytes] = {}
    with image.open("rb") as file:
        size, position = image.stat().st_size, 0
        while position < size:
            try:
                position = os.lseek(file.fileno(), position, os.SEEK_DATA)
            except OSError:
                break
            index = position // BLOCK_SIZE
            block = os.pread(file.fileno(), BLOCK_SIZE, index * BLOCK_SIZE)
            if any(block):
                blocks[index] = block.ljust(BLOCK_SIZE, b"\0")
            position = (index + 1) * BLOCK_SIZE
    return blocks


def read_bytes_so_far() -> int:
    """Bytes that this process has read from files."""
    line = Path("/proc/self/io").read_text(encoding="ascii").splitlines()[0]
    return int(line.removeprefix("rchar: "))


def test_8_gib_with_holes(server: CloudServer, tmp_path: Path) -> None:
    """Holes are not read, zeros not sent, faults ridden out, and the bytes are the same."""
    layout = scattered(8 * GIB - 12288, 60, 256 * 1024, seed=1)
    image = write_image(tmp_path / "disk.img", layout, layout_data(layout, 2))
    with image.open("r+b") as file:  # zeros that are no hole
        file.seek(GIB)
        file.write(bytes(4 * MIB))
    put = partial(Fault, method="PUT", path="/blocks/")
    server.faults.add(
        put(kind=FaultKind.RESET_REQUEST, at=100_000, after=3, times=2),
        put(kind=FaultKind.CORRUPT_REQUEST, at=300_000, after=10, times=3),
        put(kind=FaultKind.DROP_RESPONSE, after=20, times=2),
        put(kind=FaultKind.STATUS, status=503, after=30, times=3),
        Fault(kind=FaultKind.DROP_RESPONSE, method="POST", path="/snapshots/completion/"),
        Fault(kind=FaultKind.DROP_RESPONSE, method="POST", path="/snapshots"),
    )
    before = read_bytes_so_far()
    outcome = snapshot(server, image, "--json", "--description", "disk", "--tag", "a=b")
    assert read_bytes_so_far() - before < 2 * layout.data_size + 8 * MIB
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    made = only_snapshot(server.ebs)
    expected = expected_blocks(image)
    assert made.state == "completed"
    assert made.blocks == expected
    assert all(any(block) for block in expected.values())
    assert facts["snapshot_id"] == made.snapshot_id
    assert facts["volume_size"] == made.volume_size == 8
    assert facts["block_count"] == facts["sent_count"] == len(expected)
    assert facts["retry_count"] >= 10
    assert made.request["Description"] == "disk"
    assert made.request["Tags"] == [{"Key": "a", "Value": "b"}]
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.slow
def test_300_mb_of_data_in_little_memory(server: CloudServer, tmp_path: Path) -> None:
    layout = scattered(8 * GIB, 300, MIB, seed=3)
    data = b"".join(random_bytes(MIB, seed) for seed in range(300))
    image = write_image(tmp_path / "disk.img", layout, data)
    options = ("--endpoint-url", server.url, "--region", REGION, "--state-dir", tmp_path / "state")
    result = tmp_path / "result.json"
    outcome = run_program(
        sys.executable,
        MEASURE,
        result,
        *cli_argv("snapshot", image, *options),
        environment=cli_environment(**server.credentials),
    )
    assert outcome.code == 0, outcome.errors
    assert only_snapshot(server.ebs).blocks == expected_blocks(image)
    assert json.loads(result.read_text())["peak"] < 150 * MIB  # half of the data


@pytest.mark.parametrize("size", [1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 2 * BLOCK_SIZE])
def test_sizes_as_awss_own_client_reads_them(
    server: CloudServer, tmp_path: Path, size: int
) -> None:
    image = tmp_path / "disk.img"
    data = random_bytes(min(size, 4096), size) + bytes(max(0, size - 4096))
    image.write_bytes(data[:-1] + b"x")
    outcome = snapshot(server, image, "--max-bandwidth", "1G")
    assert outcome.code == 0, outcome.errors
    made = only_snapshot(server.ebs)
    assert outcome.text == f"{made.snapshot_id}\n"
    assert read_back(server, made.snapshot_id) == made.blocks == expected_blocks(image)
    assert volume_start(made, size) == image.read_bytes()


def test_a_device_that_changed_since_it_was_interrupted(
    server: CloudServer, tmp_path: Path
) -> None:
    """Blocks that are another now are written anew, those that are zeros now as zeros."""
    source = tmp_path / "disk.img"
    source.write_bytes(random_bytes(4 * BLOCK_SIZE, 5))
    times = (source.stat().st_atime_ns, source.stat().st_mtime_ns)
    server.intercept = refuse_to_complete
    interrupted = snapshot(server, source)
    server.intercept = lambda request: None
    check_refused(interrupted, 6, r"complete snapshot snap-\w+: .*\(AccessDeniedException\)")
    assert only_snapshot(server.ebs).state == "pending"
    with source.open("r+b") as file:
        file.write(bytes(BLOCK_SIZE) + b"changed")
    os.utime(source, ns=times)
    # A device tells no time of change, and a file that is touched so tells another ctime.
    (state,) = (tmp_path / "state").iterdir()
    told = f'"ctime_ns": {source.stat().st_ctime_ns}'
    state.write_text(re.sub(r'"ctime_ns": \d+', told, state.read_text()))
    outcome = snapshot(server, source, "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["sent_count"] == 2
    assert volume_start(only_snapshot(server.ebs), 4 * BLOCK_SIZE) == source.read_bytes()


def test_another_image_or_a_lost_snapshot_begins_anew(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(random_bytes(3 * BLOCK_SIZE, 6))
    server.intercept = refuse_to_complete
    assert snapshot(server, image).code == 6
    lost = only_snapshot(server.ebs).snapshot_id
    image.write_bytes(random_bytes(3 * BLOCK_SIZE, 7))
    changed = snapshot(server, image)
    assert changed.code == 6
    assert "a new snapshot is started" in changed.errors
    (second,) = server.ebs.snapshots.keys() - {lost}
    lose_snapshot(server.ebs, second)
    server.intercept = lambda request: None
    outcome = snapshot(server, image)
    assert outcome.code == 0, outcome.errors
    assert f"{second} is gone" in outcome.errors
    made = server.ebs.snapshots[outcome.text.strip()]
    assert volume_start(made, 3 * BLOCK_SIZE) == image.read_bytes()
    assert made.state == "completed"


def test_a_new_snapshot_that_not_all_of_ebs_knows_yet(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(random_bytes(BLOCK_SIZE, 8))
    unknown = [True, True]

    def intercept(request: Request) -> Reply | None:
        if request.method != "PUT" or not unknown:
            return None
        unknown.pop()
        return ebs_error("404 Not Found", "ResourceNotFoundException")

    server.intercept = intercept
    outcome = snapshot(server, image)
    assert outcome.code == 0, outcome.errors
    assert not unknown


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "words"),
    [
        ("403 Forbidden", "AccessDeniedException", 6, "IAM policy must allow it"),
        ("402 Payment Required", "ServiceQuotaExceededException", 6, "quota"),
        ("409 Conflict", "ConflictException", 6, "--no-resume"),
        ("400 Bad Request", "ConcurrentLimitExceededException", 7, "tried 3 times"),
    ],
)
def test_refusals_of_ebs(
    server: CloudServer, tmp_path: Path, status: str, code: str, exit_code: int, words: str
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"x")
    server.intercept = lambda request: ebs_error(status, code)
    outcome = snapshot(server, image, "--max-attempts", "3")
    check_refused(outcome, exit_code, rf"start a snapshot of 1 GiB: .*\({code}\).*{words}")


@pytest.mark.parametrize(
    ("content", "options", "exit_code", "pattern"),
    [
        (b"", (), 3, "the image is empty"),
        (bytes(4096), (), 3, "nothing but zeros"),
        (b"QFI\xfb" + bytes(600), (), 3, "expected a raw image, got qcow2"),
        (b"x", ("--tag", "=b"), 2, "expected KEY=VALUE"),
        (b"x", ("--tag", "a=b", "--tag", "a=c"), 2, "the key 'a' is there twice"),
        (b"x", ("--tag", "aws:a=b"), 2, "AWS's own"),
        (b"x", ("--description", "x" * 256), 2, "at most 255 characters"),
    ],
)
def test_what_is_wrong_makes_no_snapshot(
    server: CloudServer,
    tmp_path: Path,
    content: bytes,
    options: tuple[str, ...],
    exit_code: int,
    pattern: str,
) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(content)
    check_refused(snapshot(server, image, *options), exit_code, pattern)
    assert all(made.state == "pending" for made in server.ebs.snapshots.values())


@pytest.mark.parametrize("words", [("snapshot",), ("image", "-d", "bundles")])
def test_a_bundle_in_s3_is_told_apart(words: tuple[str, ...]) -> None:
    outcome = run_here(*words, "s3://images/a.manifest.xml")
    check_refused(outcome, 2, r"got 's3://images/a\.manifest\.xml': .* ami-bundler convert makes")
