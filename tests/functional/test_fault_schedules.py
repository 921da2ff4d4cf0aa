"""Random schedules of faults between our commands and a real S3, and what must hold after each.

A command finishes, or fails with one of the codes that say so.  Whatever it was, a manifest in
S3 or on the disk has all its parts, byte for byte; and the same command, run again without
faults, finishes and sends nothing that S3 held whole.  The seed stands in the test's name.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bundler.cli.console import Console
from bundler.cli.main import run
from bundler.errors import BundlerError
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle, unbundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    cloud_server,
    make_bucket,
    s3_client,
)
from tests.support.faults import Fault, FaultKind
from tests.support.images import random_bytes
from tests.support.stored import (
    check_nothing_sent_twice,
    check_whole,
    read_files,
    stored_objects,
)

SCHEDULE_COUNT = 304
"""Seeds that are tried, half of them on each server."""

PART_SIZE = 40_000
IMAGE_SIZE = 5 * PART_SIZE
EXIT_CODES = {4, 6, 7}
"""Codes of a command that a fault has ended: what came is wrong, refused, or not to be had."""

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
    path.write_bytes(random_bytes(IMAGE_SIZE, 7))
    return path


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the image on the disk."""
    directory = tmp_path_factory.mktemp("bundle")
    return bundle(image, directory, "--part-size", str(PART_SIZE))


KINDS = (
    FaultKind.STATUS,
    FaultKind.RESET_REQUEST,
    FaultKind.CLOSE_REQUEST,
    FaultKind.CORRUPT_REQUEST,
    FaultKind.RESET_RESPONSE,
    FaultKind.CLOSE_RESPONSE,
    FaultKind.CORRUPT_RESPONSE,
    FaultKind.DROP_RESPONSE,
    FaultKind.ERROR_IN_200,
    FaultKind.HANG,
)

STATUSES = (
    (500, "InternalError"),
    (503, "SlowDown"),
    (503, "ServiceUnavailable"),
    (400, "RequestTimeout"),
    (400, "ExpiredToken"),
    (403, "AccessDenied"),
    (403, "RequestTimeTooSkewed"),
    (400, "AccessControlListNotSupported"),
)


def random_faults(random: Random, directory: str) -> list[Fault]:
    """One to four faults, in requests below a directory of the bucket."""
    faults = []
    for _ in range(random.randint(1, 4)):
        kind = random.choice(KINDS)
        status, code = random.choice(STATUSES)
        faults.append(
            Fault(
                kind=kind,
                # Bodies of listings are no place for a flipped bit: HTTP and XML cannot tell.
                method=random.choice(("PUT", "GET", "HEAD"))
                if kind is not FaultKind.CORRUPT_REQUEST
                else "PUT",
                path=f"/{BUCKET}/{directory}/",
                after=random.choice((0, 0, 1, 2, 3, 5)),
                times=random.choice((1, 1, 1, 2, 3, 8)),
                at=random.choice((0, 1, 100, PART_SIZE // 2, PART_SIZE - 1)),
                status=status,
                code=code,
                seconds=30.0 if kind is FaultKind.HANG else 0.0,
            )
        )
    return faults


@dataclass(slots=True, kw_only=True)
class Job:
    """One command, to be run with faults and without."""

    server: CloudServer
    directory: str
    words: list[str | Path]
    failure: str = ""
    """What the last run that failed has said."""

    def run(self) -> int:
        """Run it in this process; its exit code."""
        console = Console(is_quiet=True, stdout=io.StringIO(), stderr=io.StringIO())
        options = ("--endpoint-url", self.server.url, "--region", REGION)
        quick = ("--max-attempts", "4", "--retry-delay", "0.005", "--timeout", "0.4")
        argv = [str(word) for word in (*self.words, *options, *quick)]
        try:
            run(argv, console)
        except BundlerError as error:
            self.failure = str(error)
            return error.exit_code
        return 0

    def stored(self) -> dict[str, bytes]:
        """What S3 has below the directory."""
        return stored_objects(self.server, BUCKET, f"{self.directory}/")


def check_then_finish(job: Job, random: Random) -> dict[str, bytes]:
    """Run a job that sends, with faults and then without; what S3 has in the end."""
    job.server.faults.add(*random_faults(random, job.directory))
    code = job.run()
    job.server.faults.clear()
    assert code == 0 or code in EXIT_CODES, job.failure
    before = job.stored()
    assert check_whole(before) or code != 0
    job.server.requests.clear()
    assert job.run() == 0, job.failure
    after = job.stored()
    assert check_whole(after)
    check_nothing_sent_twice(job.server, before, after)
    return after


def do_upload(
    server: CloudServer, random: Random, name: str, image: Path, manifest: Path, tmp_path: Path
) -> None:
    words: list[str | Path] = ["upload", manifest, f"s3://{BUCKET}/{name}", "--acl", "none"]
    job = Job(server=server, directory=name, words=words)
    assert check_then_finish(job, random) == read_files(manifest.parent)


def do_publish(
    server: CloudServer, random: Random, name: str, image: Path, manifest: Path, tmp_path: Path
) -> None:
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, f"s3://{BUCKET}/{name}", "--name", name]
    words += ["--part-size", str(PART_SIZE), "--acl", "none", "--account", "123456789012"]
    words += ["--level", "fast", "--state-dir", tmp_path / "state", *keys]
    job = Job(server=server, directory=name, words=words)
    # What is registered is not published again.
    objects = check_then_publish(job, random)
    (tmp_path / "out").mkdir()
    for file_name, body in objects.items():
        (tmp_path / "out" / file_name).write_bytes(body)
    outcome = unbundle(tmp_path / "out" / "root.img.manifest.xml", tmp_path / "back.img")
    assert outcome.code == 0, outcome.errors
    assert (tmp_path / "back.img").read_bytes() == image.read_bytes()
    assert list((tmp_path / "state").iterdir()) == []


def check_then_publish(job: Job, random: Random) -> dict[str, bytes]:
    job.server.faults.add(*random_faults(random, job.directory))
    code = job.run()
    job.server.faults.clear()
    before = job.stored()
    assert code == 0 or code in EXIT_CODES, job.failure
    assert check_whole(before) or code != 0
    if code == 0:
        return before
    job.server.requests.clear()
    assert job.run() == 0, job.failure
    after = job.stored()
    assert check_whole(after)
    check_nothing_sent_twice(job.server, before, after)
    return after


def do_download(
    server: CloudServer, random: Random, name: str, image: Path, manifest: Path, tmp_path: Path
) -> None:
    url = put_bundle(server, name, manifest)
    words: list[str | Path] = ["download", url, "-d", tmp_path, "--cert", USER_CERT]
    job = Job(server=server, directory=name, words=words)
    job.server.faults.add(*random_faults(random, name))
    code = job.run()
    job.server.faults.clear()
    assert code == 0 or code in EXIT_CODES | {3}, job.failure  # a manifest may come damaged
    whole = read_files(manifest.parent)
    assert read_files(tmp_path).items() <= whole.items()
    assert check_whole(read_files(tmp_path)) == (code == 0)
    assert job.run() == 0, job.failure
    assert read_files(tmp_path) == whole


def do_unbundle(
    server: CloudServer, random: Random, name: str, image: Path, manifest: Path, tmp_path: Path
) -> None:
    url = put_bundle(server, name, manifest)
    words: list[str | Path] = ["unbundle", url, "-o", tmp_path / "back.img"]
    words += ["--key", USER_KEY, "--cert", USER_CERT]
    job = Job(server=server, directory=name, words=words)
    job.server.faults.add(*random_faults(random, name))
    code = job.run()
    job.server.faults.clear()
    assert code == 0 or code in EXIT_CODES | {3}, job.failure
    assert [path.name for path in tmp_path.iterdir()] == (["back.img"] if code == 0 else [])
    if code:
        assert job.run() == 0, job.failure
    assert (tmp_path / "back.img").read_bytes() == image.read_bytes()


def put_bundle(server: CloudServer, name: str, manifest: Path) -> str:
    client = s3_client(server)
    for path in manifest.parent.iterdir():
        client.put_object(Bucket=BUCKET, Key=f"{name}/{path.name}", Body=path.read_bytes())
    return f"s3://{BUCKET}/{name}/{manifest.name}"


OPERATIONS = (do_upload, do_publish, do_download, do_unbundle)


@pytest.mark.parametrize("seed", range(SCHEDULE_COUNT // len(S3_SERVERS)))
def test_schedule(
    server: CloudServer, image: Path, manifest: Path, tmp_path: Path, seed: int
) -> None:
    random = Random(f"{server.s3}-{seed}")
    operation = OPERATIONS[seed % len(OPERATIONS)]
    server.requests.clear()
    operation(server, random, f"{server.s3}-{seed}", image, manifest, tmp_path)
