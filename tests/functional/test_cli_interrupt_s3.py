"""Ctrl-C while a connection to S3 hangs: the command ends at once, and goes on the next time."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle
from tests.support.cloud import REGION, CloudServer, cloud_server, make_bucket
from tests.support.faults import Fault, FaultKind, Request
from tests.support.images import random_bytes
from tests.support.stored import check_whole, read_files, stored_objects
from tests.support.tools import cli_argv, cli_environment, require_tool, run_program

PART_SIZE = 100_000
LOCATION = "s3://images/web"
PATIENCE = 30.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images", acl="aws-exec-read")
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(random_bytes(8 * PART_SIZE, 1))
    return path


@pytest.fixture
def manifest(image: Path, tmp_path: Path) -> Path:
    return bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))


def argv_of(server: CloudServer, words: list[str | Path]) -> list[str]:
    return cli_argv(*words, "--endpoint-url", server.url, "--region", REGION)


def interrupt(
    server: CloudServer, words: list[str | Path], method: str, part: str = ".part.3"
) -> None:
    """Send SIGINT while requests for a part hang; the command must end at once."""
    hanging = threading.Event()

    def intercept(request: Request) -> None:
        if request.method == method and part in request.path:
            hanging.set()

    server.intercept = intercept
    server.faults.add(Fault(kind=FaultKind.HANG, method=method, path=part, seconds=120.0))
    process = subprocess.Popen(  # noqa: S603 - a test's own words, and no shell
        [require_tool("env"), "--default-signal=INT", *argv_of(server, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=cli_environment(**server.credentials),
        start_new_session=True,
    )
    assert hanging.wait(PATIENCE)
    begin = monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    assert monotonic() - begin < 5  # and not the minute that a silent connection gets
    assert process.returncode == 130
    assert output == b""
    assert errors.decode().splitlines()[-1] == "ami-bundler: interrupted"
    server.intercept = lambda request: None
    server.faults.clear()


def finish(server: CloudServer, words: list[str | Path]) -> None:
    environment = cli_environment(**server.credentials)
    outcome = run_program(*argv_of(server, words), environment=environment)
    assert outcome.code == 0, outcome.errors


def test_upload(server: CloudServer, manifest: Path) -> None:
    words: list[str | Path] = ["upload", manifest, LOCATION]
    interrupt(server, words, "PUT")
    assert not check_whole(stored_objects(server, "images", "web/"))
    finish(server, words)
    assert stored_objects(server, "images", "web/") == read_files(manifest.parent)


def test_publish(server: CloudServer, image: Path, tmp_path: Path) -> None:
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, LOCATION, "--name", "web 1", *keys]
    words += ["--part-size", str(PART_SIZE), "--state-dir", tmp_path / "state"]
    words += ["--account", "123456789012"]
    interrupt(server, words, "PUT", ".part.03")
    assert not check_whole(stored_objects(server, "images", "web/"))
    finish(server, words)
    assert check_whole(stored_objects(server, "images", "web/"))


def test_download(server: CloudServer, manifest: Path, tmp_path: Path) -> None:
    finish(server, ["upload", manifest, LOCATION])
    directory = tmp_path / "out"
    directory.mkdir()
    words: list[str | Path] = ["download", f"{LOCATION}/{manifest.name}", "-d", directory]
    interrupt(server, words, "GET")
    left = read_files(directory)
    assert left.items() < read_files(manifest.parent).items()
    assert manifest.name not in left
    finish(server, words)
    assert read_files(directory) == read_files(manifest.parent)


@pytest.mark.parametrize("command", ["unbundle", "verify"])
def test_reading_from_s3(
    server: CloudServer, image: Path, manifest: Path, tmp_path: Path, command: str
) -> None:
    finish(server, ["upload", manifest, LOCATION])
    url = f"{LOCATION}/{manifest.name}"
    directory = tmp_path / "out"
    directory.mkdir()
    words: list[str | Path] = [command, url, "--key", USER_KEY, "--cert", USER_CERT]
    words += ["-o", directory / "back.img"] if command == "unbundle" else ["--deep"]
    interrupt(server, words, "GET")
    assert read_files(directory) == {}
    finish(server, words)
    if command == "unbundle":
        assert (directory / "back.img").read_bytes() == image.read_bytes()
