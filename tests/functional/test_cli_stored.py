"""verify, unbundle, inspect and download of bundles in S3, as processes of their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import EC2_KEY, USER_CERT, USER_KEY, bundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    cloud_server,
    make_bucket,
    s3_client,
)
from tests.support.faults import FOREVER, Fault, FaultKind
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.stored import read_files
from tests.support.tools import Outcome, check_refused, cli_environment

PART_COUNT = 5
PART_SIZE = 100_000
URL = "s3://images/web site/ä/root.img.manifest.xml"
PREFIX = "web site/ä"
KEYS = ("--key", USER_KEY, "--cert", USER_CERT)


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    manifest: Path,
) -> Iterator[CloudServer]:
    """A cloud with a bundle that upload has put there."""
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, "images")
        words = ("upload", manifest, f"s3://images/{PREFIX}", "--acl", "none")
        assert run(running, *words).text == f"{URL}\n"
        running.requests.clear()
        yield running


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "root.img"
    path.write_bytes(random_bytes(PART_COUNT * PART_SIZE - 50_000, 3))
    return path


@pytest.fixture(scope="module")
def manifest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(image, tmp_path_factory.mktemp("bundle"), "--part-size", str(PART_SIZE))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def run(server: CloudServer, *arguments: str | Path) -> Outcome:
    environment = cli_environment(**server.credentials)
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here(*arguments, *options, environment=environment)


def key_of(index: int) -> str:
    return f"{PREFIX}/root.img.part.{index}"


def put(server: CloudServer, index: int, body: bytes) -> None:
    """Put a part as somebody else would."""
    s3_client(server).put_object(Bucket="images", Key=key_of(index), Body=body)


def read_part(manifest: Path, index: int) -> bytes:
    return manifest.with_name(f"root.img.part.{index}").read_bytes()


# verify


def test_verify_reads_nothing(server: CloudServer) -> None:
    outcome = run(server, "verify", URL, "--cert", USER_CERT, "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert facts["signature_checked"]
    assert not facts["image_checked"]
    assert [part["size"] for part in facts["parts"]][:-1] == [PART_SIZE] * (PART_COUNT - 1)
    read = [request for request in server.requests if request.method == "GET"]
    assert [request.path.endswith(".manifest.xml") for request in read] == [True]
    # Swift tells no SHA-1.
    by_size = PART_COUNT if server.s3 == "swift" else 0
    assert facts["by_size_only_count"] == by_size
    assert [part["digest_checked"] for part in facts["parts"]] == [not by_size] * PART_COUNT


def test_verify_says_what_it_knows_by_size_only(server: CloudServer, manifest: Path) -> None:
    put(server, 2, read_part(manifest, 2))
    outcome = run(server, "verify", URL, "--cert", USER_CERT)
    assert outcome.code == 0, outcome.errors
    count = PART_COUNT if server.s3 == "swift" else 1
    assert f"ok, {PART_COUNT} parts, {count} of them by size only" in outcome.text
    deep = run(server, "verify", URL, "--cert", USER_CERT, "--deep")
    assert deep.text == f"{URL}: ok, {PART_COUNT} parts\n"


def test_verify_deep_with_a_key_checks_the_image(server: CloudServer) -> None:
    facts = json.loads(run(server, "verify", URL, *KEYS, "--deep", "--json").text)
    assert facts["image_checked"]
    assert facts["by_size_only_count"] == 0
    ec2 = ("--key", EC2_KEY, "--as-ec2", "--cert", USER_CERT, "--deep")
    assert run(server, "verify", URL, *ec2).code == 0
    wrong = run(server, "verify", URL, "--key", EC2_KEY, "--cert", USER_CERT, "--deep")
    check_refused(wrong, 4, "wrong private key")


@pytest.mark.parametrize("more", [(), ("--deep",)])
def test_verify_finds_a_part_that_is_missing(server: CloudServer, more: tuple[str, ...]) -> None:
    for index in (1, 3):
        s3_client(server).delete_object(Bucket="images", Key=key_of(index))
    refused = run(server, "verify", URL, "--cert", USER_CERT, *more)
    check_refused(refused, 4, r"root.img.part.1: .*\(and 1 more parts\)")


def test_verify_finds_a_part_of_another_size(server: CloudServer, manifest: Path) -> None:
    put(server, 2, read_part(manifest, 2)[:-1])
    refused = run(server, "verify", URL, "--cert", USER_CERT)
    check_refused(refused, 4, r"expected \d+ bytes in all parts, got \d+")


def test_verify_deep_finds_a_part_that_is_damaged(server: CloudServer, manifest: Path) -> None:
    body = read_part(manifest, 2)
    put(server, 2, body[:-1] + bytes([body[-1] ^ 1]))
    refused = run(server, "verify", URL, "--cert", USER_CERT, "--deep")
    check_refused(refused, 4, r"part.2: expected SHA1 [0-9a-f]{40}, got [0-9a-f]{40}")


def test_verify_believes_s3s_sha1(server: CloudServer, manifest: Path) -> None:
    if server.s3 == "swift":
        return  # which knows none
    body = bytes(PART_SIZE)
    s3_client(server).put_object(
        Bucket="images", Key=key_of(2), Body=body, ChecksumAlgorithm="SHA1"
    )
    refused = run(server, "verify", URL, "--cert", USER_CERT)
    check_refused(refused, 4, r"look at s3://images/.*part.2: expected SHA1 [0-9a-f]{40}, got")


def test_verify_of_a_signature_that_does_not_hold(server: CloudServer) -> None:
    key = f"{PREFIX}/root.img.manifest.xml"
    client = s3_client(server)
    document = client.get_object(Bucket="images", Key=key)["Body"].read()
    changed = document.replace(b"<architecture>x86_64<", b"<architecture>i386<")
    assert changed != document
    client.put_object(Bucket="images", Key=key, Body=changed)
    refused = run(server, "verify", URL, "--cert", USER_CERT)
    check_refused(refused, 4, "the signature does not hold")
    refused = run(server, "download", URL, "-d", "/", "--cert", USER_CERT)
    check_refused(refused, 4, "the signature does not hold")


def test_a_refusal_is_no_verdict_on_the_bundle(server: CloudServer) -> None:
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="HEAD",
            path=".part.2",
            status=403,
            code="AccessDenied",
            times=FOREVER,
        )
    )
    refused = run(server, "verify", URL, "--cert", USER_CERT)
    check_refused(refused, 6, r"look at s3://images/.*part.2: Forbidden")


# unbundle


def test_unbundle_writes_nothing_but_the_image(server: CloudServer, image: Path, out: Path) -> None:
    outcome = run(server, "unbundle", URL, *KEYS, "-o", out / "back.img")
    assert outcome.code == 0, outcome.errors
    assert read_files(out) == {"back.img": image.read_bytes()}


def test_unbundle_survives_what_passes(server: CloudServer, image: Path, out: Path) -> None:
    for kind in (FaultKind.CORRUPT_RESPONSE, FaultKind.RESET_RESPONSE):
        server.faults.add(Fault(kind=kind, method="GET", path=".part.1", at=50_000))
    words = ("-o", out / "back.img", "--retry-delay", "0.01", "--json", "-v")
    outcome = run(server, "unbundle", URL, *KEYS, *words)
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["retry_count"] == 2
    assert outcome.errors.count("attempt ") == 2
    assert (out / "back.img").read_bytes() == image.read_bytes()


def test_unbundle_of_a_damaged_part_leaves_nothing(
    server: CloudServer, manifest: Path, out: Path
) -> None:
    body = read_part(manifest, 3)
    put(server, 3, body[:-1] + bytes([body[-1] ^ 1]))
    refused = run(server, "unbundle", URL, *KEYS, "-o", out / "back.img")
    check_refused(refused, 4, r"get s3://images/.*part.3: expected SHA1")
    assert read_files(out) == {}


@pytest.mark.parametrize(
    ("words", "code", "pattern"),
    [
        (("verify", "s3://images/x"), 2, r"verify s3://images/x: expected s3://BUCKET/"),
        (("verify", URL, "--parts", "x"), 2, "--parts is for bundles on the disk"),
        (("unbundle", URL, "--parts", "x", "-o", "y"), 2, "--parts is for bundles on the disk"),
        (("verify", "s3://images/x.manifest.xml"), 6, "NoSuchKey"),
        (("download", "s3://images/x.manifest.xml", "-d", "."), 6, "NoSuchKey"),
        (("download", "s3://nowhere-1/x.manifest.xml", "-d", "."), 6, "NoSuchBucket"),
        (
            ("download", URL, "-d", "/nowhere"),
            5,
            "write to /nowhere: no such directory; make",
        ),
        (("download", URL, "-d", ".", "--max-concurrency", "0"), 2, "from 1 to 128"),
        (("download", URL, "-d", ".", "--max-bandwidth", "fast"), 2, "expected bytes"),
        (("download", URL, "-d", ".", "--max-bandwidth", "0K"), 2, "expected more than 0 bytes"),
        (("download", URL, "-d", ".", "--timeout", "0"), 2, "more than 0 and up to 3600"),
        (("download", URL, "-d", ".", "--retry-delay", "1e9"), 2, "more than 0 and up to 60"),
        (("download", URL, "-d", ".", "--max-attempts", "x"), 2, "from 1 to 100"),
    ],
)
def test_what_is_refused(
    server: CloudServer, words: tuple[str, ...], code: int, pattern: str
) -> None:
    check_refused(run(server, *words), code, pattern)


def test_credentials_that_have_expired_are_told_without_asking(server: CloudServer) -> None:
    expired = {"AWS_SESSION_TOKEN": "x", "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}
    environment = cli_environment(**server.credentials, **expired)
    words = ("--endpoint-url", server.url, "--region", REGION)
    server.requests.clear()
    refused = run_here("verify", URL, *words, environment=environment)
    check_refused(refused, 6, r"get s3://images/.*still expired; log in again")
    assert server.requests == []


# inspect, download


def test_inspect_shows_what_lies_there(server: CloudServer, manifest: Path) -> None:
    assert run(server, "inspect", URL).text == run_here("inspect", manifest).text


def test_download_with_a_limit(server: CloudServer, manifest: Path, out: Path) -> None:
    words = ("--max-bandwidth", "10M", "--max-concurrency", "2", "--json")
    outcome = run(server, "download", URL, "-d", out, "--cert", USER_CERT, *words)
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert facts["manifest"] == str(out / "root.img.manifest.xml")
    assert (facts["transferred_count"], facts["held_count"]) == (PART_COUNT, 0)
    assert read_files(out) == read_files(manifest.parent)
    again = run(server, "download", URL, "-d", out)
    assert again.code == 0
    assert f"0 objects transferred, {PART_COUNT} were there already" in again.errors


def test_download_onto_another_bundle(server: CloudServer, manifest: Path, out: Path) -> None:
    other = bundle(manifest.with_name("root.img.part.0"), out, "--name", "root.img")
    before = read_files(out)
    check_refused(run(server, "download", URL, "-d", out), 2, f"{other}: there is another manifest")
    assert read_files(out) == before
    assert run(server, "download", URL, "-d", out, "--force").code == 0
    assert read_files(out) == read_files(manifest.parent)
