"""publish, upload and register as processes of their own, against S3 and EC2 over HTTP."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.embedded.ec2 import Ec2Settings
from tests.support.bundles import (
    EC2_CERT,
    EC2_KEY,
    USER_CERT,
    USER_KEY,
    bundle,
    load_key,
    unbundle,
)
from tests.support.cloud import (
    S3_SERVERS,
    CloudServer,
    Reply,
    Request,
    cloud_server,
    error_reply,
    make_bucket,
    open_cloud,
    s3_client,
)
from tests.support.images import random_bytes, sha256_of, text_bytes
from tests.support.in_process import run_here
from tests.support.tools import Outcome, check_refused, cli_environment

MIB = 1024 * 1024
REGION = "eu-west-1"
LOCATION = "s3://images/web"
MANIFEST = f"{LOCATION}/root.img.manifest.xml"
MANIFEST_PATH = "/images/web/root.img.manifest.xml"


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    settings = Ec2Settings(private_key=load_key(EC2_KEY), checks_acl=False)
    with cloud_server(monkeypatch, tmp_path, s3=request.param, settings=settings) as running:
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """The server that has regions, and that takes EC2's ACL."""
    settings = Ec2Settings(private_key=load_key(EC2_KEY))
    with cloud_server(monkeypatch, tmp_path, settings=settings) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of five parts of a MiB."""
    path = tmp_path / "root.img"
    path.write_bytes(random_bytes(4 * MIB, 1) + bytes(MIB) + text_bytes(MIB, 2))
    return path


def run(server: CloudServer, *arguments: str | Path, region: str = REGION) -> Outcome:
    environment = cli_environment(**server.credentials)
    options = ("--endpoint-url", server.url, "--region", region)
    return run_here(*arguments, *options, environment=environment)


def publish(server: CloudServer, image: Path, *more: str | Path, region: str = REGION) -> Outcome:
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, LOCATION, "--name", "web 1", "--part-size", "1M"]
    return run(server, *words, *keys, *acl(server), *more, region=region)


def acl(server: CloudServer) -> tuple[str, ...]:
    """Swift knows no ACL aws-exec-read."""
    return ("--acl", "none") if server.s3 == "swift" else ()


def stored(server: CloudServer) -> dict[str, bytes]:
    """The objects below the prefix, by file name."""
    client = s3_client(server)
    listing = client.list_objects_v2(Bucket="images", Prefix="web/")
    return {
        item["Key"].removeprefix("web/"): client.get_object(Bucket="images", Key=item["Key"])[
            "Body"
        ].read()
        for item in listing.get("Contents", [])
    }


def image_in_s3(server: CloudServer, directory: Path, *more: str | Path) -> bytes:
    directory.mkdir()
    for name, body in stored(server).items():
        (directory / name).write_bytes(body)
    outcome = unbundle(directory / "root.img.manifest.xml", directory / "out", *more)
    assert outcome.code == 0, outcome.errors
    return (directory / "out").read_bytes()


ATTRIBUTES = ("--tag", "team=web", "--imds-support", "v2.0", "--root-device-name", "/dev/xvda")
GIVEN = {
    "TagSpecifications": [{"ResourceType": "image", "Tags": [{"Key": "team", "Value": "web"}]}],
    "ImdsSupport": "v2.0",
    "RootDeviceName": "/dev/xvda",
}


def test_publish_makes_an_ami_that_opens_again(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    outcome = publish(server, image, "--description", "a test", *ATTRIBUTES)
    assert outcome.code == 0, outcome.errors
    assert re.fullmatch(r"ami-[0-9a-f]+\n", outcome.text)
    (registration,) = server.registrations
    assert registration["ImageLocation"] == "images/web/root.img.manifest.xml"
    assert registration["Architecture"] == "x86_64"
    assert registration["VirtualizationType"] == "hvm"
    assert registration["Description"] == "a test"
    assert registration.items() >= GIVEN.items()
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()
    ec2 = ("--key", EC2_KEY, "--as-ec2")
    assert image_in_s3(server, tmp_path / "ec2", *ec2) == image.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ec2", "root.img", "user"]


def test_ec2_opens_what_was_published(server: CloudServer, image: Path) -> None:
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    reply = (
        open_cloud(server)
        .ec2()
        .run_instances(
            ImageId=outcome.text.strip(), InstanceType="m3.medium", MinCount=1, MaxCount=1
        )
    )
    volume = server.ec2.root_volume(reply["Instances"][0]["InstanceId"])
    assert (volume.size, volume.sha256) == (image.stat().st_size, sha256_of(image))


REFUSED_BY_EC2: dict[str, tuple[tuple[str | Path, ...], str]] = {
    "no ACL": (("--acl", "none"), r"HTTP 403 .*aws-exec-read"),
    "another EC2's certificate": (("--ec2-cert", USER_CERT), r"ec2_encrypted_key: .*certificate"),
}


@pytest.mark.parametrize("name", REFUSED_BY_EC2)
def test_what_ec2_cannot_open_becomes_no_ami(moto: CloudServer, image: Path, name: str) -> None:
    words, pattern = REFUSED_BY_EC2[name]
    check_refused(publish(moto, image, "--quiet", *words), 6, pattern)
    assert open_cloud(moto).ec2().describe_images(Owners=["self"])["Images"] == []


def object_puts(server: CloudServer) -> list[Request]:
    return [
        request
        for request in server.requests
        if request.method == "PUT" and request.path.startswith("/images/")
    ]


def test_publish_sends_each_part_once_with_its_digest_and_the_manifest_last(
    moto: CloudServer, image: Path
) -> None:
    facts = json.loads(publish(moto, image, "--json").text)
    assert facts["part_count"] == 5
    assert (facts["transferred_count"], facts["held_count"], facts["retry_count"]) == (6, 0, 0)
    puts = object_puts(moto)
    assert [request.path for request in puts][-1] == MANIFEST_PATH
    assert len({request.path for request in puts}) == len(puts) == 6
    assert all(request.headers["x-amz-acl"] == "aws-exec-read" for request in puts)
    assert all("x-amz-checksum-sha1" in request.headers for request in puts)
    assert facts["image_id"].startswith("ami-")
    assert (facts["name"], facts["ami_name"]) == (image.name, "web 1")


def test_a_large_part_is_one_request_too(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    image.write_bytes(random_bytes(40 * MIB, 3))
    outcome = publish(server, image, "--part-size", "32M", "--level", "fast")
    assert outcome.code == 0, outcome.errors
    assert len(object_puts(server)) == 3
    assert image_in_s3(server, tmp_path / "out") == image.read_bytes()


def test_what_will_hardly_boot_is_told_and_what_is_no_image_refused(
    moto: CloudServer, image: Path
) -> None:
    outcome = publish(moto, image)
    assert outcome.code == 0, outcome.errors
    assert f"warning: {image}: no partition table" in outcome.errors
    paravirtual = ("--virtualization-type", "paravirtual", "--force", "--name", "web 2")
    outcome = publish(moto, image, *paravirtual)
    assert outcome.code == 0, outcome.errors
    assert "partition table" not in outcome.errors
    moto.requests.clear()
    image.write_bytes(b"\x1f\x8b" + bytes(MIB))
    refused = publish(moto, image, "--force", "--name", "web 3")
    check_refused(refused, 3, "expected a raw image, got gzip by its first bytes")
    assert moto.requests == []
    # A ramdisk may be of any form.
    ramdisk = ("--type", "ramdisk", "--force", "--name", "web 3")
    outcome = publish(moto, image, *ramdisk)
    assert outcome.code == 0, outcome.errors


def test_publish_without_acl(server: CloudServer, image: Path) -> None:
    assert publish(server, image, "--acl", "none").code == 0
    assert not any("x-amz-acl" in request.headers for request in server.requests)


def test_the_account_is_asked_of_sts_only_when_it_is_not_given(
    server: CloudServer, image: Path
) -> None:
    def count_of_sts_requests() -> int:
        signed = [request.headers.get("authorization", "") for request in server.requests]
        return len([signature for signature in signed if "/sts/aws4_request" in signature])

    assert publish(server, image).code == 0
    assert b"<user>123456789012</user>" in stored(server)["root.img.manifest.xml"]
    assert count_of_sts_requests() == 1
    server.requests.clear()
    more = ("--account", "1111-2222-3333", "--name", "web 2", "--force")
    assert publish(server, image, *more).code == 0
    assert b"<user>111122223333</user>" in stored(server)["root.img.manifest.xml"]
    assert count_of_sts_requests() == 0


def deny_part(request: Request) -> Reply | None:
    is_meant = request.method == "PUT" and ".part.3" in request.path
    return error_reply("403 Forbidden", "AccessDenied") if is_meant else None


def test_a_part_that_is_refused_leaves_no_manifest_and_no_ami(
    server: CloudServer, image: Path
) -> None:
    server.intercept = deny_part
    check_refused(publish(server, image), 6, r"put s3://images/web/root.img.part.3.*AccessDenied")
    assert not server.find("PUT", MANIFEST_PATH)
    assert server.registrations == []


def test_a_name_that_is_taken_is_refused_before_anything_is_sent(
    server: CloudServer, image: Path
) -> None:
    assert publish(server, image).code == 0
    server.requests.clear()
    refused = publish(server, image, "--force")
    check_refused(refused, 6, r"AMI 'web 1': expected a free name, got one that ami-\w+ has")
    assert not object_puts(server)


def test_a_bundle_in_s3_is_not_overwritten_unless_forced(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert publish(server, image).code == 0
    before = stored(server)
    check_refused(publish(server, image, "--name", "web 2"), 2, r"exists; --force replaces it")
    assert stored(server) == before
    image.write_bytes(text_bytes(MIB, 4))
    assert publish(server, image, "--name", "web 2", "--force").code == 0
    assert image_in_s3(server, tmp_path / "out") == image.read_bytes()


def test_a_smaller_bundle_leaves_no_old_parts(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert publish(server, image, "--part-size", "100K").code == 0
    assert len(stored(server)) > 40
    assert publish(server, image, "--name", "web 2", "--force").code == 0
    assert len(stored(server)) == 6
    manifest = bundle(image, tmp_path / "bundle", "--part-size", "4M")
    assert upload(server, manifest, "--force").code == 0
    assert set(stored(server)) == {path.name for path in manifest.parent.iterdir()}


def test_force_keeps_the_old_bundle_when_the_new_one_is_not_there(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert publish(server, image).code == 0
    before = stored(server)
    manifest = bundle(image, tmp_path / "bundle", "--part-size", "1M")
    manifest.with_name("root.img.part.4").unlink()
    refused = upload(server, manifest, "--force")
    check_refused(refused, 5, r"root.img.part.4: No such file")
    assert stored(server) == before


def test_parts_that_an_interrupted_run_left_need_no_force(server: CloudServer, image: Path) -> None:
    server.intercept = deny_part
    assert publish(server, image).code == 6
    server.intercept = lambda request: None
    assert publish(server, image).code == 0
    assert len(stored(server)) == 6


def test_the_configured_region_decides_whose_ec2_opens_the_bundle(
    image: Path, tmp_path: Path
) -> None:
    """EC2's key is of 2048 bits in China, of 1024 elsewhere."""
    config = tmp_path / "config"
    config.write_text("[default]\nregion=cn-north-1\n")
    words: tuple[str | Path, ...] = ("image", image, "-d", tmp_path, "--account", "123456789012")
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--name", "cn"]
    for settings, digits in (({"AWS_CONFIG_FILE": str(config)}, 512), ({}, 256)):
        outcome = run_here(*words, *keys, "--force", environment=cli_environment(**settings))
        assert outcome.code == 0, outcome.errors
        facts = json.loads(run_here("inspect", tmp_path / "cn.manifest.xml", "--json").text)
        assert len(facts["ec2_encrypted_key"]) == digits


def test_a_bucket_in_another_region_is_refused(moto: CloudServer, image: Path) -> None:
    assert publish(moto, image).code == 0
    refused = publish(moto, image, "--name", "web 2", region="us-west-2")
    check_refused(refused, 6, r"s3://images: expected it in us-west-2, got eu-west-1")


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        ("InvalidManifest", r"InvalidManifest.*aws-exec-read"),
        ("UnauthorizedOperation", r"UnauthorizedOperation"),
    ],
)
def test_a_refused_registration_tells_how_to_go_on(
    server: CloudServer, image: Path, code: str, pattern: str
) -> None:
    def intercept(request: Request) -> Reply | None:
        if request.path != "/" or not server.find("PUT", MANIFEST_PATH):
            return None
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>It is so.</Message></Error>"
            "</Errors><RequestID>1</RequestID></Response>"
        )
        return Reply(status="400 Bad Request", body=body.encode())

    server.intercept = intercept
    outcome = publish(server, image)
    assert outcome.code == 6
    assert outcome.output == b""
    *_, note, complaint = outcome.errors.splitlines()
    assert f"ami-bundler register {MANIFEST}" in note
    assert re.search(pattern, complaint)


def upload(server: CloudServer, manifest: Path, *more: str | Path) -> Outcome:
    return run(server, "upload", manifest, LOCATION, *acl(server), *more)


def test_upload_then_register(server: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", "1M", "--arch", "arm64")
    uploaded = upload(server, manifest)
    assert (uploaded.code, uploaded.text) == (0, f"{MANIFEST}\n")
    assert set(stored(server)) == {path.name for path in manifest.parent.iterdir()}
    registered = run(server, "register", MANIFEST, "--name", "web 1", "--json", *ATTRIBUTES)
    assert registered.code == 0, registered.errors
    assert json.loads(registered.text)["state"] == "available"
    assert server.registrations[0].items() >= GIVEN.items()
    assert server.registrations[0]["Architecture"] == "arm64"


def test_upload_refuses_a_damaged_part(server: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", "1M")
    part = manifest.with_name("root.img.part.2")
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    check_refused(
        upload(server, manifest),
        4,
        r"root.img.part.2: expected SHA1",
    )
    part.unlink()
    check_refused(upload(server, manifest), 5, r"root.img.part.2: No such file")
    assert "root.img.manifest.xml" not in stored(server)


@pytest.mark.parametrize(
    ("words", "code", "pattern"),
    [
        (("register", "s3://nowhere/x.manifest.xml"), 6, "NoSuchBucket"),
        (("register", "s3://images/x.manifest.xml"), 6, "NoSuchKey"),
        (
            ("register", "s3://images/html.manifest.xml"),
            3,
            "html.manifest.xml: expected element 'manifest'",
        ),
        (("register", "s3://images"), 2, r"expected s3://BUCKET/\[PREFIX/\]NAME.manifest.xml"),
        (("register", "s3://!/x.manifest.xml"), 2, "is not a bucket name"),
        (("register", "s3://images/x.manifest.xml", "--virtualization-type", "xen"), 2, "xen"),
    ],
)
def test_what_cannot_be_registered(
    server: CloudServer, words: tuple[str, ...], code: int, pattern: str
) -> None:
    make_bucket(server, "images")
    s3_client(server).put_object(
        Bucket="images", Key="html.manifest.xml", Body=b"<html><body>Sign in</body></html>"
    )
    check_refused(run(server, *words, "--name", "web 1"), code, pattern)


@pytest.mark.parametrize(
    ("more", "pattern"),
    [
        (("--name", "a!"), r"AMI name 'a!': expected 3 to 128"),
        (("--kernel", "aki-1"), r"for paravirtual AMIs only"),
        (("--account", "12345678901"), r"account '12345678901': expected 12 digits"),
        (("--acl", "everybody"), r"--acl"),
        (("--part-size", "1"), r"part size 1: expected"),
    ],
)
def test_what_cannot_be_published(
    server: CloudServer, image: Path, more: tuple[str, ...], pattern: str
) -> None:
    check_refused(publish(server, image, *more), 2, pattern)
    assert not object_puts(server)


def test_nobody_listens(server: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = bundle(image, tmp_path / "bundle")
    server.url = "http://127.0.0.1:9"
    check_refused(
        upload(server, manifest),
        7,
        r"s3://images.*Could not connect",
    )
