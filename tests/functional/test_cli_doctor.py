"""doctor as a process of its own, against S3, STS and EC2 over HTTP."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.support.bundles import ACCOUNT, EC2_CERT, USER_CERT, USER_KEY, bundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Fault,
    FaultKind,
    Reply,
    Request,
    client_of,
    cloud_server,
    error_reply,
    make_bucket,
)
from tests.support.images import text_bytes
from tests.support.in_process import run_here
from tests.support.tools import Outcome, check_refused, cli_environment

LOCATION = "s3://images/web"
PROBE_PATH = "/images/web/.ami-bundler-probe-"
MIB = 1024 * 1024

Intercept = Callable[[Request], Reply | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What --json printed, by check."""

    outcome: Outcome
    facts: dict[str, object]
    findings: tuple[dict[str, str], ...]

    def statuses(self, *checks: str) -> list[str]:
        """How these checks ended."""
        return [one["status"] for check in checks for one in self.findings if one["check"] == check]

    def words(self, check: str, status: str) -> str:
        """What the only finding of a check with that status says."""
        (found,) = (
            one for one in self.findings if (one["check"], one["status"]) == (check, status)
        )
        return f"{found['message']}; {found['remedy']}"

    @property
    def failed(self) -> list[str]:
        """The checks that failed, in order."""
        return [one["check"] for one in self.findings if one["status"] == "fail"]


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """The server that has regions, versions and ownership, and that takes EC2's ACL."""
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image that is no disk and no file system."""
    path = tmp_path / "root.img"
    path.write_bytes(text_bytes(MIB, 1))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The user's key as keygen keeps it."""
    path = tmp_path / "pk.pem"
    path.write_bytes(USER_KEY.read_bytes())
    path.chmod(0o600)
    return path


def run(server: CloudServer, *words: str | Path, **changes: str) -> Outcome:
    environment = cli_environment(**{**server.credentials, **changes})
    options = ("--endpoint-url", server.url, "--max-attempts", "1")
    return run_here("doctor", *words, *options, environment=environment)


def report(outcome: Outcome) -> Report:
    facts = json.loads(outcome.text)
    return Report(outcome=outcome, facts=facts, findings=tuple(facts["findings"]))


def doctor(server: CloudServer, *words: str | Path, region: str = REGION, **more: str) -> Report:
    return report(run(server, *words, "--region", region, "--json", **more))


def key_options(key: Path = USER_KEY) -> tuple[str | Path, ...]:
    return ("--key", key, "--cert", USER_CERT, "--ec2-cert", EC2_CERT)


def doctor_publish(server: CloudServer, *more: str | Path, region: str = REGION) -> Report:
    """Without an image, and without an ACL, so that any server takes it."""
    words = ("publish", LOCATION, "--acl", "none", "--name", "web 1", *key_options(), *more)
    return doctor(server, *words, region=region)


def only_probe(method: str, reply: Reply) -> Intercept:
    """Answers requests of one method about the probe object."""
    return lambda request: (
        reply if request.method == method and request.path.startswith(PROBE_PATH) else None
    )


def date_reply(status: str, ahead: timedelta) -> Reply:
    """A reply to HeadBucket at a time that is that far ahead of ours."""
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    return Reply(status=status, headers=(("Date", date),))


def on_head_bucket(reply: Reply) -> Intercept:
    return lambda request: reply if (request.method, request.path) == ("HEAD", "/images") else None


def sts_reply(code: str) -> Reply:
    body = (
        "<ErrorResponse><Error><Type>Sender</Type>"
        f"<Code>{code}</Code><Message>It is so.</Message></Error></ErrorResponse>"
    )
    return Reply(
        status="403 Forbidden", body=body.encode(), headers=(("Content-Type", "text/xml"),)
    )


def on_service(server: CloudServer, service: str, reply: Reply) -> None:
    """Answer the requests of one service but S3."""
    server.intercept = lambda request: (
        reply if f"/{service}/aws4" in request.headers.get("authorization", "") else None
    )


def test_nothing_is_wrong(server: CloudServer, image: Path, key: Path, tmp_path: Path) -> None:
    make_bucket(server, "images")
    options = ("--name", "web 1", "--acl", "none", "--arch", "x86_64")
    paravirtual = ("--virtualization-type", "paravirtual")
    words: tuple[str | Path, ...] = (image, LOCATION, *options, *paravirtual)
    state = tmp_path / "state"
    found = doctor(server, "publish", *words, "--state-dir", state, *key_options(key))
    assert found.outcome.code == 0, found.outcome.errors
    assert (found.facts["ok"], found.facts["task"]) == (True, "publish")
    others = [one for one in found.findings if one["check"] not in ("architecture", "free-blocks")]
    assert {one["status"] for one in others} == {"ok"}
    assert found.statuses("free-blocks") == ["skip"]  # the image is no file system
    assert ACCOUNT in found.words("identity", "ok")
    assert "found by env" in found.words("credentials", "ok")
    assert not state.exists()


def test_text_has_a_line_for_each_finding(server: CloudServer) -> None:
    words = ("publish", LOCATION, "--acl", "none", *key_options(), "--region", REGION)
    outcome = run(server, *words)
    lines = outcome.text.splitlines()
    assert outcome.code == 0, outcome.errors
    assert outcome.errors == ""
    assert all(re.fullmatch(r"(ok  |warn|fail|skip)  [a-z0-9-]+: \S.*", line) for line in lines)
    assert f"ok    region: {REGION}, partition aws" in lines
    assert "skip  image: not looked at: no IMAGE is given" in lines


def test_the_probe_goes_as_it_came(server: CloudServer) -> None:
    make_bucket(server, "images")
    found = doctor_publish(server)
    assert (found.outcome.code, found.statuses("probe")) == (0, ["ok"])
    methods = [one.method for one in server.requests if one.path.startswith(PROBE_PATH)]
    assert methods[:2] == ["PUT", "GET"]
    client = client_of(server.url, server.credentials)
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_the_acl_is_tried(server: CloudServer) -> None:
    """Swift knows no aws-exec-read, as many a server that is not AWS."""
    make_bucket(server, "images", acl="aws-exec-read")
    found = doctor(server, "publish", LOCATION, *key_options())
    (put,) = (
        one for one in server.requests if one.method == "PUT" and one.path.startswith(PROBE_PATH)
    )
    assert put.headers["x-amz-acl"] == "aws-exec-read"
    if server.s3 == "moto":
        assert (found.outcome.code, found.statuses("probe")) == (0, ["ok"])
    else:
        assert found.outcome.code == 6
        assert "--acl none" in found.words("probe", "fail")


def test_no_probe(server: CloudServer) -> None:
    make_bucket(server, "images")
    found = doctor_publish(server, "--no-probe")
    assert "--no-probe is given" in found.words("probe", "skip")
    assert not [one for one in server.requests if PROBE_PATH in one.path]


def test_the_probe_goes_even_if_it_cannot_be_read(server: CloudServer) -> None:
    make_bucket(server, "images")
    server.intercept = only_probe("GET", error_reply("403 Forbidden", "AccessDenied"))
    found = doctor_publish(server)
    assert (found.outcome.code, found.failed) == (6, ["probe"])
    assert "AccessDenied" in found.words("probe", "fail")
    client = client_of(server.url, server.credentials)
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_a_probe_that_comes_back_damaged(server: CloudServer) -> None:
    make_bucket(server, "images")
    server.faults.add(Fault(kind=FaultKind.CORRUPT_RESPONSE, method="GET", path=PROBE_PATH))
    found = doctor_publish(server)
    assert (found.outcome.code, found.failed) == (4, ["probe"])
    client = client_of(server.url, server.credentials)
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_a_probe_that_stays_is_named(server: CloudServer) -> None:
    make_bucket(server, "images")
    refusal = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: refusal if "delete" in request.query else None
    found = doctor_publish(server)
    assert (found.outcome.code, found.statuses("probe")) == (0, ["ok", "warn"])
    (left,) = client_of(server.url, server.credentials).list_objects_v2(Bucket="images")["Contents"]
    assert f"s3://images/{left['Key']} could not be removed" in found.words("probe", "warn")


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AccessControlListNotSupported", "400 Bad Request", "--enable-acls"),
        ("InvalidArgument", "400 Bad Request", "--acl none"),
        ("AccessDenied", "403 Forbidden", "(s3:PutObjectAcl; without the ACL it is accepted)"),
    ],
)
def test_an_acl_that_is_refused(moto: CloudServer, code: str, status: str, words: str) -> None:
    make_bucket(moto, "images", acl="aws-exec-read")
    reply = error_reply(status, code)
    moto.intercept = lambda request: reply if "x-amz-acl" in request.headers else None
    found = doctor(moto, "publish", LOCATION, *key_options())
    assert (found.outcome.code, found.failed) == (6, ["probe"])
    assert f"({code})" in found.words("probe", "fail")
    assert words in found.words("probe", "fail")
    client = client_of(moto.url, moto.credentials)
    assert client.list_objects_v2(Bucket="images")["KeyCount"] == 0


def test_objects_that_are_refused(moto: CloudServer) -> None:
    make_bucket(moto, "images", acl="aws-exec-read")
    moto.intercept = only_probe("PUT", error_reply("403 Forbidden", "AccessDenied"))
    found = doctor(moto, "publish", LOCATION, *key_options())
    assert "without an ACL it is refused too" in found.words("probe", "fail")
    assert not [one for one in moto.requests if "delete" in one.query]


def test_a_versioned_bucket_keeps_nothing_of_the_probe(moto: CloudServer) -> None:
    make_bucket(moto, "images")
    client = client_of(moto.url, moto.credentials)
    client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    found = doctor_publish(moto)
    assert found.outcome.code == 0
    assert "lifecycle rule" in found.words("versioning", "warn")
    left = client.list_object_versions(Bucket="images")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def test_a_bucket_that_will_be_made(server: CloudServer) -> None:
    found = doctor_publish(server)
    assert found.outcome.code == 0
    assert f"will be created in {REGION}" in found.words("bucket", "warn")
    assert set(found.statuses("payer", "ownership", "encryption", "versioning", "probe")) == {
        "skip"
    }
    assert client_of(server.url, server.credentials).list_buckets()["Buckets"] == []


def test_a_bucket_that_cannot_be_made(server: CloudServer) -> None:
    found = doctor(server, "publish", "s3://xn--images/web", *key_options())
    assert (found.outcome.code, found.failed) == (2, ["bucket"])
    assert "S3 keeps names" in found.words("bucket", "fail")
    assert "needs bucket" in found.words("probe", "skip")


def test_a_bucket_in_another_region(moto: CloudServer) -> None:
    make_bucket(moto, "images")
    found = doctor_publish(moto, region="us-west-2")
    assert (found.outcome.code, found.failed) == (6, ["bucket"])
    assert f"--region {REGION}" in found.words("bucket", "fail")
    assert found.statuses("ami-name", "instance-types") == ["ok", "ok"]


def test_a_bucket_that_is_hidden(server: CloudServer) -> None:
    make_bucket(server, "images")
    server.intercept = on_head_bucket(Reply(status="403 Forbidden"))
    found = doctor_publish(server)
    assert (found.outcome.code, found.failed) == (6, ["bucket"])


def test_settings_of_a_bucket(moto: CloudServer) -> None:
    make_bucket(moto, "images")
    client = client_of(moto.url, moto.credentials)
    client.put_bucket_encryption(
        Bucket="images",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
        },
    )
    payer = "<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
    reply = Reply(status="200 OK", body=payer.encode())
    moto.intercept = lambda request: reply if "requestPayment" in request.query else None
    found = doctor(moto, "publish", LOCATION, *key_options())
    assert (found.outcome.code, found.failed) == (6, ["ownership"])
    assert "--enable-acls" in found.words("ownership", "fail")
    assert "allowed to use the key" in found.words("encryption", "warn")
    assert "--request-payer" in found.words("payer", "warn")
    assert "needs ownership" in found.words("probe", "skip")


def test_acls_that_will_be_enabled(moto: CloudServer) -> None:
    make_bucket(moto, "images")
    found = doctor(moto, "publish", LOCATION, "--enable-acls", *key_options())
    assert found.outcome.code == 0
    assert "BucketOwnerPreferred will be set" in found.words("ownership", "warn")
    assert "not enabled yet" in found.words("probe", "skip")
    ownership = client_of(moto.url, moto.credentials).get_bucket_ownership_controls(Bucket="images")
    assert ownership["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_public_access_that_is_blocked(moto: CloudServer) -> None:
    make_bucket(moto, "images", acl="aws-exec-read")
    found = doctor(moto, "publish", LOCATION, "--acl", "public-read", *key_options())
    assert "public-access" in found.failed


@pytest.mark.parametrize(
    ("ahead", "status", "pattern"),
    [
        (timedelta(seconds=-5), "ok", r"s ahead of AWS's clock"),
        (timedelta(minutes=-2), "warn", r"1[12]\d s ahead of"),
        (timedelta(minutes=10), "warn", r"(59\d|600) s behind .*RequestExpired"),
        (timedelta(minutes=20), "fail", r"1(19\d|200) s behind .*RequestTimeTooSkewed.*; set the"),
    ],
)
def test_the_clock(server: CloudServer, ahead: timedelta, status: str, pattern: str) -> None:
    """A refusal tells the time as well as any other reply."""
    make_bucket(server, "images")
    server.intercept = on_head_bucket(date_reply("403 Forbidden", ahead))
    found = doctor_publish(server)
    assert found.statuses("clock") == [status]
    assert re.search(pattern, found.words("clock", status))
    assert found.outcome.code == 6
    assert found.failed[0] == ("clock" if status == "fail" else "bucket")
    assert found.statuses("bucket") == ["skip" if status == "fail" else "fail"]


def test_publish_itself_tells_of_a_wrong_clock(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    """S3's refusal of HEAD has no body, and looks like any other but for its date."""
    make_bucket(server, "images")
    server.intercept = on_head_bucket(date_reply("403 Forbidden", timedelta(minutes=-16)))
    words: tuple[str | Path, ...] = (image, LOCATION, "--name", "web", "--acl", "none")
    cloud = ("--endpoint-url", server.url, "--region", REGION)
    environment = cli_environment(**server.credentials, XDG_STATE_HOME=str(tmp_path))
    refused = run_here("publish", *words, *key_options(), *cloud, environment=environment)
    check_refused(refused, 6, r"clock: it is 9[56]\d s ahead of AWS's clock")


def test_no_credentials_at_all(server: CloudServer) -> None:
    nobody = dict.fromkeys(server.credentials, "")
    words = ("publish", LOCATION, *key_options())
    found = doctor(server, *words, **nobody)
    assert (found.outcome.code, found.failed) == (2, ["credentials"])
    assert "aws_access_key_id" in found.words("credentials", "fail").lower()
    assert set(found.statuses("identity", "clock", "bucket", "ami-name")) == {"skip"}
    assert found.statuses("keys") in (["ok"], ["ok", "warn"])
    assert server.requests == []


def test_a_token_that_has_expired(server: CloudServer) -> None:
    make_bucket(server, "images")
    on_service(server, "sts", sts_reply("ExpiredToken"))
    found = doctor_publish(server)
    assert (found.outcome.code, found.failed) == (6, ["identity"])
    assert "log in again" in found.words("identity", "fail")
    assert set(found.statuses("bucket", "probe", "ami-name", "instance-types")) == {"skip"}


@pytest.mark.parametrize(
    ("left", "status", "code"),
    [
        (timedelta(hours=2), "ok", 0),
        (timedelta(minutes=30), "warn", 0),
        (timedelta(minutes=-1), "fail", 6),
        (None, "fail", 2),
    ],
)
def test_credentials_that_expire(
    moto: CloudServer, left: timedelta | None, status: str, code: int
) -> None:
    make_bucket(moto, "images")
    time = (datetime.now(UTC) + left).isoformat() if left is not None else "soon"
    words = ("publish", LOCATION, "--acl", "none", *key_options())
    changes = {"AWS_CREDENTIAL_EXPIRATION": time, "AWS_SESSION_TOKEN": "token"}
    found = doctor(moto, *words, **changes)
    assert (found.statuses("credentials"), found.outcome.code) == ([status], code)


def test_a_cloud_without_sts(server: CloudServer) -> None:
    make_bucket(server, "images")
    on_service(server, "sts", sts_reply("NotImplemented"))
    found = doctor_publish(server)
    assert (found.outcome.code, found.failed) == (6, ["account"])
    assert "give --account" in found.words("account", "fail")
    assert found.statuses("probe") == ["ok"]
    found = doctor_publish(server, "--account", ACCOUNT)
    assert (found.outcome.code, found.statuses("identity")) == (0, ["warn"])


def test_nobody_listens(server: CloudServer) -> None:
    server.url = "http://127.0.0.1:9"
    found = doctor_publish(server)
    assert found.outcome.code == 7
    assert found.failed == ["clock", "account", "ami-name", "instance-types"]
    assert found.statuses("keys")[0] == "ok"


@pytest.mark.parametrize(
    ("region", "status", "code"), [("mars-1", "fail", 2), ("eu-west-77", "warn", 0)]
)
def test_a_region_that_nobody_knows(region: str, status: str, code: int, tmp_path: Path) -> None:
    words = ("doctor", "bundle", "--account", ACCOUNT, *key_options(), "--region", region)
    found = report(run_here(*words, "--json"))
    assert (found.statuses("region"), found.outcome.code) == ([status], code)


def test_no_region(server: CloudServer) -> None:
    found = report(run(server, "publish", LOCATION, *key_options(), "--json"))
    assert (found.outcome.code, found.failed) == (2, ["region"])
    assert "--region" in found.words("region", "fail")
    assert found.statuses("credentials", "clock", "identity") == ["ok", "skip", "skip"]


def test_a_name_that_is_taken(moto: CloudServer, tmp_path: Path, image: Path) -> None:
    make_bucket(moto, "images")
    manifest = bundle(image, tmp_path / "bundle")
    cloud = ("--endpoint-url", moto.url, "--region", REGION)
    environment = cli_environment(**moto.credentials)
    for words in (
        ("upload", manifest, LOCATION, "--acl", "none"),
        ("register", f"{LOCATION}/{manifest.name}", "--name", "web 1"),
    ):
        outcome = run_here(*words, *cloud, environment=environment)
        assert outcome.code == 0, outcome.errors
    found = doctor_publish(moto, "--bundle-name", "root.img")
    assert (found.outcome.code, found.failed) == (2, ["bundle", "ami-name"])
    assert "--force replaces it" in found.words("bundle", "fail")
    assert "expected a free name" in found.words("ami-name", "fail")
    found = doctor_publish(moto, "--bundle-name", "root.img", "--force", "--name", "a!")
    assert (found.outcome.code, found.failed) == (2, ["ami-name"])
    assert "will be replaced" in found.words("bundle", "warn")


def test_instance_types(moto: CloudServer) -> None:
    found = doctor(moto, "register", "--region", REGION)
    assert f"33 in {REGION}: c1.medium" in found.words("instance-types", "ok")
    refusal = sts_reply("UnauthorizedOperation")
    on_service(moto, "ec2", refusal)
    found = doctor(moto, "register")
    assert found.outcome.code == 0
    assert "C1, C3, D2" in found.words("instance-types", "warn")


def stored_bundle(server: CloudServer, image: Path, directory: Path, *more: str) -> Path:
    """A bundle that lies in S3 as in a directory; its manifest there."""
    make_bucket(server, "images")
    manifest = bundle(image, directory, "--part-size", "100K", *more)
    client = client_of(server.url, server.credentials)
    for path in sorted(directory.iterdir()):
        client.put_object(Bucket="images", Key=f"web/{path.name}", Body=path.read_bytes())
    return manifest


def test_register(server: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = stored_bundle(server, image, tmp_path / "bundle")
    url = f"{LOCATION}/{manifest.name}"
    found = doctor(server, "register", url, "--name", "web 1", "--cert", USER_CERT)
    assert found.outcome.code == 0, found.outcome.text
    assert set(found.statuses("manifest", "parts", "signature", "architecture")) == {"ok"}
    assert "by size only" in found.words("parts", "ok")
    assert not [one for one in server.requests if one.method == "PUT" and PROBE_PATH in one.path]
    part = max(manifest.parent.glob("*.part.*"))
    client = client_of(server.url, server.credentials)
    client.delete_object(Bucket="images", Key=f"web/{part.name}")
    found = doctor(server, "register", url, "--cert", EC2_CERT)
    assert (found.outcome.code, found.failed) == (4, ["parts", "signature"])
    assert f"{part.name}: there is no such part" in found.words("parts", "fail")


def test_an_architecture_that_no_type_has(moto: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = stored_bundle(moto, image, tmp_path / "bundle", "--arch", "arm64")
    found = doctor(moto, "register", f"{LOCATION}/{manifest.name}")
    assert (found.outcome.code, found.failed) == (6, ["instance-types"])
    assert "no instance type of" in found.words("instance-types", "fail")


@pytest.mark.parametrize(
    ("url", "code", "check"),
    [
        ("s3://nowhere/x.manifest.xml", 6, "bucket"),
        (f"{LOCATION}/x.manifest.xml", 6, "manifest"),
        (f"{LOCATION}/html.manifest.xml", 3, "manifest"),
        (LOCATION, 2, "manifest"),
    ],
)
def test_what_cannot_be_registered(server: CloudServer, url: str, code: int, check: str) -> None:
    make_bucket(server, "images")
    client = client_of(server.url, server.credentials)
    client.put_object(Bucket="images", Key="web/html.manifest.xml", Body=b"<html></html>")
    found = doctor(server, "register", url, "--kernel", "aki-1")
    assert found.failed == ["registration", check]
    assert found.outcome.code == 2
    found = doctor(server, "register", url)
    assert (found.outcome.code, found.failed) == (code, [check])


def test_bundle_needs_no_cloud(image: Path, key: Path, tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = (image, "--account", ACCOUNT, "-d", tmp_path)
    found = report(run_here("doctor", *words, *key_options(key), "--json"))
    assert found.outcome.code == 0
    assert found.facts["task"] == "bundle"
    assert set(found.statuses("region", "keys", "image", "options", "room")) == {"ok"}
    assert found.statuses("credentials", "clock", "bucket", "instance-types") == []


def test_a_command_line_of_image_needs_no_change(image: Path, key: Path, tmp_path: Path) -> None:
    more = ("--account", ACCOUNT, "--name", "web", "--no-space-check", "--level", "fast")
    words: tuple[str | Path, ...] = ("image", "-d", tmp_path, image, *more)
    found = report(run_here("doctor", *words, *key_options(key), "--json"))
    assert (found.outcome.code, found.facts["task"]) == (0, "bundle")
    assert "named web" in found.words("options", "ok")


def test_options_may_stand_between_words(image: Path, key: Path) -> None:
    before, between = ("--account", ACCOUNT), ("--acl", "none", "--part-size", "5M")
    words: tuple[str | Path, ...] = (*before, "publish", image, *between, LOCATION)
    found = report(run_here("doctor", *words, *key_options(key), "--region", REGION, "--json"))
    assert found.facts["task"] == "publish"
    assert (found.failed, found.statuses("image")) == (["credentials"], ["ok"])


def test_all_that_is_wrong_here(tmp_path: Path, image: Path) -> None:
    words: tuple[str | Path, ...] = ("bundle", tmp_path / "none", "--account", ACCOUNT)
    keys = ("--key", USER_KEY, "--cert", EC2_CERT, "--ec2-cert", image)
    found = report(run_here("doctor", *words, *keys, "--level", "best", "--json"))
    assert found.failed == ["keys", "ec2-key", "image", "compressor"]
    assert found.outcome.code == 3


def test_convert(server: CloudServer, image: Path) -> None:
    found = doctor(server, "convert", image)
    assert (found.outcome.code, found.failed) == (0, [])
    assert len(found.statuses("qemu-img")) == 1


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("a.img", "b.img"), r"expected one IMAGE and one s3:// URL at most"),
        (("s3://images/a", "s3://images/b"), r"expected one IMAGE and one s3:// URL at most"),
        (("s3://!/a",), r"is not a bucket name"),
        (("publish", "--acl", "everybody"), r"--acl"),
        (("publish", "--no-such-option", "a.img"), r"unrecognized arguments: --no-such-option"),
    ],
)
def test_what_is_not_understood(words: tuple[str, ...], pattern: str) -> None:
    check_refused(run_here("doctor", *words), 2, pattern)


def test_secrets_are_never_shown(moto: CloudServer) -> None:
    make_bucket(moto, "images")
    secrets = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "FwoGZXIvYXdzEExampleToken",
    }
    message = f"{secrets['AWS_ACCESS_KEY_ID']} may not do so."
    body = f"<Error><Code>Denied</Code><Message>{message}</Message></Error>".encode()
    moto.intercept = only_probe("PUT", Reply(status="403 Forbidden", body=body))
    words = ("publish", LOCATION, "--acl", "none", *key_options(), "-vv", "--region", REGION)
    outcome = run(moto, *words, **secrets)
    assert outcome.code == 6
    for secret in secrets.values():
        assert secret not in outcome.text + outcome.errors
