"""The demo in processes of its own, in an environment that leads every other client astray."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.embedded.ec2 import Ec2Settings, EmbeddedEc2
from bundler.embedded.server import embedded_cloud
from bundler.errors import MissingError
from tests.support.images import random_bytes, sha256_of, striped, write_image
from tests.support.tools import (
    Outcome,
    check_refused,
    cli_argv,
    cli_environment,
    require_tool,
    run_cli,
    use_tool,
)

LAYOUT = striped(5, run=1024 * 1024)
PATIENCE = 60.0
"""Seconds that a demo may take that has next to nothing to do."""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "my disk.img", LAYOUT, random_bytes(LAYOUT.data_size, seed=1))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def environment(tmp_path: Path, scratch: Path) -> dict[str, str]:
    """Keys, settings, endpoints and proxies that must not be used; a witness of their use."""
    nowhere = "http://127.0.0.1:9"
    config = tmp_path / "config"
    config.write_text(
        "[profile mine]\nregion = eu-west-1\n"
        f"credential_process = touch {tmp_path}/witness\nendpoint_url = {nowhere}\n"
    )
    proxies = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY")
    return cli_environment(
        TMPDIR=str(scratch),
        AWS_PROFILE="mine",
        AWS_DEFAULT_PROFILE="none",
        AWS_CONFIG_FILE=str(config),
        AWS_SHARED_CREDENTIALS_FILE="/nonexistent/credentials",
        AWS_SESSION_TOKEN="mine",  # noqa: S106  nobody's
        AWS_REGION="mars-1",
        AWS_DEFAULT_REGION="mars-1",
        AWS_ENDPOINT_URL=nowhere,
        AWS_ENDPOINT_URL_S3=nowhere,
        AWS_ENDPOINT_URL_EC2=nowhere,
        AWS_ENDPOINT_URL_STS=nowhere,
        AWS_CA_BUNDLE="/nonexistent/ca.pem",
        AWS_EC2_METADATA_DISABLED="false",
        AWS_EC2_METADATA_SERVICE_ENDPOINT=nowhere,
        AWS_USE_FIPS_ENDPOINT="true",
        AWS_MAX_ATTEMPTS="nonsense",
        BOTO_CONFIG="/nonexistent/boto",
        EC2_PRIVATE_KEY="/nonexistent/pk.pem",
        EC2_CERT="/nonexistent/cert.pem",
        MOTO_S3_CUSTOM_ENDPOINTS=nowhere,
        NO_PROXY="",
        **dict.fromkeys(proxies, nowhere),
    )


def test_an_image_of_ones_own(
    image: Path, scratch: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    before = sha256_of(image)
    outcome = run_cli("demo", image, "--json", "--level", "fast", environment=environment)
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.output)
    stages = facts.pop("stages")
    assert facts.pop("image_id").startswith("ami-")
    assert 0.9 < facts.pop("ratio") <= 1
    assert LAYOUT.data_size < facts.pop("bundled_size") < LAYOUT.data_size * 1.1
    assert facts == {
        "image": str(image),
        "sha256": before,
        "level": "fast",
        "size": LAYOUT.size,
        "data_size": LAYOUT.data_size,
        "part_count": 1,
    }
    assert [stage["name"] for stage in stages] == [
        "publish",
        "download",
        "unbundle with your key",
        "launch with EC2's key",
    ]
    assert all(stage["seconds"] > 0 and stage["bytes_per_second"] > 0 for stage in stages)
    assert "$ ami-bundler publish " in outcome.errors
    assert "\r" not in outcome.errors  # no progress bars without a terminal
    assert sha256_of(image) == before
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "witness").exists()


def test_the_summary_is_for_people(image: Path, environment: dict[str, str]) -> None:
    outcome = run_cli("demo", image, "--quiet", environment=environment)
    assert (outcome.code, outcome.errors) == (0, "")
    facts = {line[:26].rstrip(): line[26:] for line in outcome.text.splitlines()}
    assert facts["SHA-256"].startswith(f"{sha256_of(image)}: ")
    assert facts["AMI"].startswith("ami-")


def test_images_that_ec2_boots_otherwise(
    image: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """A disk with partitions, and a root file system for ARM, which no type boots from S3."""
    with image.open("r+b") as file:
        entry = bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 2048, 2048)
        file.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 3, 183)
    (tmp_path / "root/sbin").mkdir(parents=True)
    (tmp_path / "root/sbin/init").write_bytes(elf.ljust(5000, b"\1"))
    arm = tmp_path / "arm.img"
    use_tool("mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "root", arm, "4M")
    for path, words in ((image, "hvm --key"), (arm, "paravirtual --arch x86_64 --key")):
        outcome = run_cli("demo", path, "--level", "fast", environment=environment)
        assert outcome.code == 0, outcome.errors
        assert f" --virtualization-type {words} " in outcome.errors
        assert sha256_of(path) in outcome.text


@pytest.mark.slow
def test_an_image_of_this_machines_files(scratch: Path, environment: dict[str, str]) -> None:
    require_tool("mke2fs")
    outcome = run_cli("demo", "--json", environment=environment)
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.output)
    assert facts["image"] == "root.img"
    assert facts["ratio"] > 1.5
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("sign", ["starting an S3", "$ ami-bundler publish", "$ ami-bundler unb"])
def test_interrupted_it_leaves_nothing(
    image: Path, scratch: Path, environment: dict[str, str], sign: str, number: signal.Signals
) -> None:
    process = subprocess.Popen(  # noqa: S603  a test's own words, and no shell
        [require_tool("env"), "--default-signal=INT", *cli_argv("demo", image)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.decode().startswith(sign):
            process.send_signal(number)
            break
    output, errors = process.communicate(timeout=PATIENCE)
    last = errors.decode().splitlines()[-1:]
    assert (process.returncode, output, last) == (130, b"", ["ami-bundler: interrupted"])
    assert b"Traceback" not in errors
    assert list(scratch.iterdir()) == []


REFUSED = {
    "no-such-image": (["none"], 5, "read image none: No such file"),
    "directory": (["."], 3, "expected a file, got a directory"),
    "level": (["--level", "best"], 2, "--level 'best': expected one of fast, balanced, small"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_arguments_are_refused_first(
    name: str, scratch: Path, environment: dict[str, str]
) -> None:
    arguments, code, message = REFUSED[name]
    check_refused(run_cli("demo", *arguments, environment=environment), code, message)
    assert list(scratch.iterdir()) == []


def test_moto_is_missing(image: Path, scratch: Path, environment: dict[str, str]) -> None:
    script = (
        "import sys; sys.modules['moto'] = None\n"
        "from bundler.cli.main import main; main(sys.argv[1:])"
    )
    done = subprocess.run(  # noqa: S603  a test's own words, and no shell
        [sys.executable, "-c", script, "demo", str(image)],
        env=environment,
        capture_output=True,
        check=False,
    )
    outcome = Outcome(code=done.returncode, output=done.stdout, errors=done.stderr.decode())
    check_refused(outcome, MissingError.exit_code, r"pip install 'ami-bundler\[demo\]'$")
    assert list(scratch.iterdir()) == []


def test_the_environment_is_given_back_and_the_port_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    before = dict(os.environ)
    with embedded_cloud(tmp_path, EmbeddedEc2(Ec2Settings())) as url:
        assert "AWS_PROFILE" not in os.environ
        assert url.startswith("http://127.0.0.1:")
        cloud = Cloud.open(region="us-east-1", endpoint_url=url)
        assert account_id(cloud.sts(), cloud.transport) == "123456789012"
    assert dict(os.environ) == before
    port = int(url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
