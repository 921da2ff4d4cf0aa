"""image, publish and doctor of an EBS snapshot: the way back from snapshot IMAGE."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bundler.embedded.ebs import BLOCK_SIZE
from bundler.model.bundle import Extent
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY
from tests.support.cloud import (
    ACCOUNT_ID,
    REGION,
    CloudServer,
    cloud_server,
    error_reply,
    make_bucket,
    open_cloud,
    s3_client,
)
from tests.support.ebs import ebs_error, only_snapshot
from tests.support.ebs_backed import EPHEMERAL
from tests.support.faults import FOREVER, Fault, FaultKind, Reply, Request
from tests.support.images import (
    MIB,
    Layout,
    find_extents,
    layout_data,
    random_bytes,
    write_image,
)
from tests.support.in_process import run_here
from tests.support.tools import Outcome, check_refused, cli_environment

GIB = 1024 * MIB
LOCATION = "s3://images/web"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images")
        yield running


def run(server: CloudServer, *words: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION, "--retry-delay", "0.01")
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def keys() -> list[str | Path]:
    return ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT, "--account", ACCOUNT_ID]


def make_image(server: CloudServer, source: str, directory: Path, *more: str | Path) -> Outcome:
    directory.mkdir(exist_ok=True)
    level = ("--level", "fast")
    return run(server, "image", source, "-d", directory, *keys(), *level, *more)


def publish(server: CloudServer, source: str, state: Path, *more: str | Path) -> Outcome:
    words: list[str | Path] = ["publish", source, LOCATION, "--name", "web 1", "--acl", "none"]
    return run(server, *words, *keys(), "--state-dir", state, *more)


def unbundle(server: CloudServer, manifest: str, output: Path) -> None:
    options = ("--key", USER_KEY, "--cert", USER_CERT)
    outcome = run(server, "unbundle", manifest, "-o", output, *options)
    assert outcome.code == 0, outcome.errors


def make_snapshot(server: CloudServer, image: Path) -> str:
    """The id of a snapshot that our own command has made; requests so far are forgotten."""
    outcome = run(server, "snapshot", image, "--state-dir", image.parent / "state")
    assert outcome.code == 0, outcome.errors
    server.ebs.requests.clear()
    server.requests.clear()
    return outcome.text.strip()


@pytest.fixture
def snapshot(server: CloudServer, tmp_path: Path) -> str:
    """A snapshot of 1 GiB with seven blocks."""
    path = tmp_path / "small.img"
    path.write_bytes(random_bytes(7 * BLOCK_SIZE, 1))
    return make_snapshot(server, path)


def data_of(image: Path) -> dict[int, bytes]:
    """The pieces of 4 KiB that are not zeros."""
    found = {}
    with image.open("rb") as file:
        for extent in find_extents(image):
            for offset in range(extent.offset, extent.end, 4096):
                piece = os.pread(file.fileno(), 4096, offset)
                if any(piece):
                    found[offset] = piece
    return found


def fetched(server: CloudServer) -> list[int]:
    """Indexes of the blocks that were given, each as often as it was."""
    return [
        request.index
        for request in server.ebs.requests
        if request.operation == "GetSnapshotBlock" and not request.code
    ]


def test_8_gib_there_and_back(server: CloudServer, tmp_path: Path) -> None:
    """Only blocks that were written are fetched, whatever happens on the way; the same bytes."""
    places = (0, GIB - 8192, 3 * GIB, *range(4 * GIB, 4 * GIB + 40 * MIB, MIB), 8 * GIB - 4096)
    layout = Layout(
        size=8 * GIB, extents=tuple(Extent(offset=place, size=4096) for place in places)
    )
    image = write_image(tmp_path / "disk.img", layout, layout_data(layout, 2))
    snapshot_id = make_snapshot(server, image)
    blocks = sorted(only_snapshot(server.ebs).blocks)
    assert len(blocks) == len(places)
    expected = data_of(image)
    image.unlink()

    def intercept(request: Request) -> None:
        # One of the 40 at 4 GiB, when all faults have struck: refusals are not tried again.
        if "/blocks/8264" in request.path:
            server.ebs.expire_tokens()
            server.intercept = lambda request: None

    server.intercept = intercept
    get = "/blocks/"
    server.faults.add(
        Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", path=get, at=1000, after=2, times=2),
        Fault(kind=FaultKind.CLOSE_RESPONSE, method="GET", path=get, at=1000, after=9),
        Fault(kind=FaultKind.STATUS, method="GET", path=get, status=503, after=20, times=3),
        Fault(kind=FaultKind.RESET_REQUEST, method="GET", path="/blocks", after=5),
        Fault(kind=FaultKind.DROP_RESPONSE, method="GET", path="/blocks", query="maxResults"),
    )
    made = make_image(server, snapshot_id, tmp_path / "bundle", "--json")
    assert made.code == 0, made.errors
    facts = json.loads(made.text)
    assert (facts["name"], facts["snapshot_id"]) == (snapshot_id, snapshot_id)
    assert facts["size"] == 8 * GIB
    assert facts["data_size"] == len(blocks) * BLOCK_SIZE
    assert facts["retry_count"] >= 8
    assert set(fetched(server)) == set(blocks)
    refused = [request for request in server.ebs.requests if request.code == "ValidationException"]
    assert refused, "no token has expired"
    unbundle(server, facts["manifest"], tmp_path / "out.img")
    assert (tmp_path / "out.img").stat().st_size == 8 * GIB
    assert data_of(tmp_path / "out.img") == expected


def test_publish_goes_on_where_it_was_interrupted(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(random_bytes(10 * MIB, 3))
    os.truncate(image, GIB)
    snapshot_id = make_snapshot(server, image)
    state = tmp_path / "state"

    def deny(request: Request) -> Reply | None:
        is_meant = request.method == "PUT" and ".part.06" in request.path
        return error_reply("403 Forbidden", "AccessDenied") if is_meant else None

    options = ("--part-size", "1M", "--json", "--level", "fast")
    server.intercept = deny
    interrupted = publish(server, snapshot_id, state, *options)
    check_refused(interrupted, 6, r"part\.06.*AccessDenied")
    listing = s3_client(server).list_objects_v2(Bucket="images")
    held = {f"/images/{item['Key']}" for item in listing["Contents"]}
    assert held
    server.intercept = lambda request: None
    server.requests.clear()
    outcome = publish(server, snapshot_id, state, *options)
    assert outcome.code == 0, outcome.errors
    assert "resuming" in outcome.errors
    sent = [request.path for request in server.requests if request.method == "PUT"]
    assert len(set(sent)) == len(sent)
    assert not held & set(sent)
    facts = json.loads(outcome.text)
    assert facts["part_count"] + 1 == len(held) + len(sent)
    assert facts["snapshot_id"] == snapshot_id
    assert list(state.iterdir()) == []
    unbundle(server, facts["manifest"], tmp_path / "out.img")
    assert data_of(tmp_path / "out.img") == data_of(image)


def test_another_snapshot_of_that_bundle_begins_anew(
    server: CloudServer, snapshot: str, tmp_path: Path
) -> None:
    """Two contents never share a key."""
    options = ("--bundle-name", "web", "--part-size", "1M")
    server.intercept = lambda request: (
        error_reply("403 Forbidden", "AccessDenied") if ".part.2" in request.path else None
    )
    assert publish(server, snapshot, tmp_path / "state", *options).code == 6
    other = tmp_path / "other.img"
    other.write_bytes(random_bytes(2 * BLOCK_SIZE, 4))
    server.intercept = lambda request: None
    outcome = publish(server, make_snapshot(server, other), tmp_path / "state", *options)
    assert outcome.code == 0, outcome.errors
    assert "the snapshot has changed since: starting over with a new key" in outcome.errors
    unbundle(server, f"{LOCATION}/web.manifest.xml", tmp_path / "out.img")
    assert data_of(tmp_path / "out.img") == data_of(other)


def test_a_block_that_stays_damaged_leaves_no_bundle(
    server: CloudServer, snapshot: str, tmp_path: Path
) -> None:
    damage = Fault(
        kind=FaultKind.CORRUPT_RESPONSE, method="GET", path="/blocks/5", at=9, times=FOREVER
    )
    server.faults.add(damage)
    outcome = make_image(server, snapshot, tmp_path / "bundle", "--max-attempts", "3")
    check_refused(outcome, 7, rf"get block 5 of snapshot {snapshot}: expected checksum .*3 times")
    assert list((tmp_path / "bundle").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "code", "pattern"),
    [
        ("snap-0123456789abcdef0", 6, r"read snapshot snap-0123456789abcdef0: there is no such"),
        ("ami-01234567", 6, r"image ami-01234567: there is no such AMI"),
        ("snap-123", 5, r"snap-123: No such file"),
    ],
)
def test_what_is_not_there(
    server: CloudServer, tmp_path: Path, source: str, code: int, pattern: str
) -> None:
    check_refused(make_image(server, source, tmp_path / "bundle"), code, pattern)


def test_snapshots_that_cannot_be_read(server: CloudServer, snapshot: str, tmp_path: Path) -> None:
    made = only_snapshot(server.ebs)
    made.shown.status = "pending"
    refused = make_image(server, snapshot, tmp_path / "bundle")
    check_refused(refused, 6, rf"read snapshot {snapshot}: expected it .*, got pending")
    doctor = run(server, "doctor", "bundle", snapshot, *keys())
    assert doctor.code == 6, doctor.errors
    assert re.search(r"fail  image: read snapshot .* got pending", doctor.text)
    made.shown.status = "completed"
    denied = ebs_error("403 Forbidden", "AccessDeniedException")
    server.intercept = lambda request: denied if "/blocks/" in request.path else None
    refused = make_image(server, snapshot, tmp_path / "bundle")
    check_refused(refused, 6, rf"get block 0 of snapshot {snapshot}: .*the KMS key")
    server.intercept = lambda request: None
    large = open_cloud(server).ebs().start_snapshot(VolumeSize=11)["SnapshotId"]
    server.ebs.snapshots[large].shown.status = "completed"
    refused = publish(server, large, tmp_path / "state")
    check_refused(refused, 3, rf"bundle image {large}: EC2 takes .* at most .*--allow-large")
    assert not [request for request in server.requests if request.method == "PUT"]


def test_an_ami_says_what_the_options_do_not(
    server: CloudServer, snapshot: str, tmp_path: Path
) -> None:
    ec2 = open_cloud(server).ec2()
    root: Any = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot}}
    old = ec2.register_image(
        Name="old/web",
        Architecture="i386",
        VirtualizationType="paravirtual",
        KernelId="aki-12345678",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[root, EPHEMERAL],
    )["ImageId"]
    doctor = run(server, "doctor", "publish", old, LOCATION, *keys(), "--acl", "none")
    assert "i386 is taken" in doctor.text
    assert f"{LOCATION}/old-web.manifest.xml" in doctor.text
    outcome = publish(server, old, tmp_path / "state", "--name", "web 2", "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert facts["manifest"] == f"{LOCATION}/old-web.manifest.xml"
    assert (facts["snapshot_id"], facts["source_image_id"]) == (snapshot, old)
    registration = server.registrations[-1]
    assert registration["Architecture"] == "i386"
    assert registration["VirtualizationType"] == "paravirtual"
    assert registration["KernelId"] == "aki-12345678"
    found = s3_client(server).get_object(Bucket="images", Key="web/old-web.manifest.xml")
    document = found["Body"].read()
    assert b"<virtual>ephemeral0</virtual><device>sdb</device>" in document
    assert b"<kernel_id>aki-12345678</kernel_id>" in document
    refused = make_image(server, facts["image_id"], tmp_path / "bundle")
    check_refused(refused, 2, r"got an S3-backed one.*unbundle.*s3://images/web/old-web.manifest")


def test_a_file_of_that_name_wins(
    server: CloudServer, snapshot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(snapshot).write_bytes(random_bytes(4096, 5))
    server.requests.clear()
    outcome = make_image(server, snapshot, tmp_path / "bundle", "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["size"] == 4096
    assert server.requests == []
