"""Commands run again after something else has changed: nothing stale may be believed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle, unbundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Reply,
    cloud_server,
    error_reply,
    make_bucket,
    on_moto,
    s3_client,
)
from tests.support.faults import Fault, FaultKind, Request
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.stored import check_whole, read_files, sent_parts, stored_objects
from tests.support.tools import Outcome, check_refused, cli_environment

PART_SIZE = 50_000
LOCATION = "s3://images/web"
URL = f"{LOCATION}/root.img.manifest.xml"
MANIFEST_PATH = "/images/web/root.img.manifest.xml"
REFUSAL = (
    b"<Response><Errors><Error><Code>InvalidManifest</Code><Message>It is so.</Message></Error>"
    b"</Errors><RequestID>1</RequestID></Response>"
)


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, "images")
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """The server that takes EC2's ACL."""
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images")
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(random_bytes(4 * PART_SIZE, 1))
    return path


def run(server: CloudServer, *words: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def publish(server: CloudServer, image: Path, *more: str | Path) -> Outcome:
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, LOCATION, "--name", "web 1", "--acl", "none"]
    words += ["--part-size", str(PART_SIZE), "--account", "123456789012"]
    words += ["--state-dir", image.parent / "state"]
    return run(server, *words, *keys, *more)


def publish_without_registration(server: CloudServer, image: Path, *more: str | Path) -> None:
    """All is in S3, and EC2 refuses to register it."""

    def intercept(request: Request) -> Reply | None:
        is_registration = request.path == "/" and bool(server.find("PUT", MANIFEST_PATH))
        return Reply(status="400 Bad Request", body=REFUSAL) if is_registration else None

    server.intercept = intercept
    check = publish(server, image, *more)
    assert check.code == 6, check.errors
    assert check_whole(stored_objects(server, "images", "web/"))
    server.intercept = lambda request: None
    server.requests.clear()


def facts_of(server: CloudServer) -> dict[str, object]:
    facts: dict[str, object] = json.loads(run(server, "inspect", URL, "--json").text)
    return facts


@on_moto
@pytest.mark.parametrize(
    ("more", "name", "value"),
    [
        (("--arch", "arm64"), "architecture", "arm64"),
        (("--account", "999999999999"), "user", "999999999999"),
        (("--product-code", "PC1"), "product_codes", ["PC1"]),
        (("-B", "ami=sda1"), "block_device_mappings", [{"virtual": "ami", "device": "sda1"}]),
        (("--ancestor", "ami-1"), "ancestor_ami_ids", ["ami-1"]),
    ],
)
def test_other_options_make_another_manifest_of_the_same_parts(
    server: CloudServer, image: Path, more: tuple[str, ...], name: str, value: object
) -> None:
    publish_without_registration(server, image)
    assert facts_of(server)[name] != value
    outcome = publish(server, image, *more)
    assert outcome.code == 0, outcome.errors
    assert facts_of(server)[name] == value
    assert sent_parts(server) == []
    assert check_whole(stored_objects(server, "images", "web/"))


def test_another_key_of_ec2_wraps_the_key_anew(server: CloudServer, image: Path) -> None:
    publish_without_registration(server, image, "--ec2-cert", USER_CERT)
    before = facts_of(server)["ec2_encrypted_key"]
    assert publish(server, image).code == 0
    assert facts_of(server)["ec2_encrypted_key"] != before
    assert sent_parts(server) == []


def test_an_image_that_only_its_bytes_tell_has_changed(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    publish_without_registration(server, image)
    state = image.stat()
    image.write_bytes(random_bytes(image.stat().st_size, 99))
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    assert "starting over with a new key" in outcome.errors
    out = tmp_path / "out"
    out.mkdir()
    for name, body in stored_objects(server, "images", "web/").items():
        (out / name).write_bytes(body)
    assert unbundle(out / "root.img.manifest.xml", tmp_path / "back.img").code == 0
    assert (tmp_path / "back.img").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("more", [(), ("--force",), ("--no-resume", "--force")])
def test_what_is_held_gets_the_acl_that_is_asked_for(
    moto: CloudServer, image: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    assert run(moto, "upload", manifest, LOCATION, "--acl", "none").code == 0
    moto.requests.clear()
    outcome = run(moto, "upload", manifest, LOCATION, "--enable-acls", *more)
    assert outcome.code == 0, outcome.errors
    told = {
        request.path.rpartition("/")[2]
        for request in moto.requests
        if request.headers.get("x-amz-acl") == "aws-exec-read" and request.status == 200
    }
    assert told == set(read_files(manifest.parent))


def test_who_comes_later_damages_no_bundle(server: CloudServer, tmp_path: Path) -> None:
    """B looks before A begins, and sends after A is done."""
    manifests = []
    for name, seed in (("a", 1), ("b", 2)):
        image = tmp_path / f"{name}.img"
        image.write_bytes(random_bytes(4 * PART_SIZE, seed))
        options = ("--name", "root.img", "--part-size", str(PART_SIZE))
        manifests.append(bundle(image, tmp_path / name, *options))
    first, second = manifests
    is_done = False

    def intercept(request: Request) -> None:
        nonlocal is_done
        if request.method == "PUT" and ".part." in request.path and not is_done:
            is_done = True
            client = s3_client(server)
            for path in first.parent.iterdir():
                client.put_object(Bucket="images", Key=f"web/{path.name}", Body=path.read_bytes())

    server.intercept = intercept
    words = ("--acl", "none", "--max-concurrency", "1")
    refused = run(server, "upload", second, LOCATION, *words)
    check_refused(refused, 2, "somebody else has put it there meanwhile")
    assert stored_objects(server, "images", "web/") == read_files(first.parent)


def test_a_conflict_of_conditional_requests_passes(server: CloudServer, image: Path) -> None:
    replies = [error_reply("409 Conflict", "ConditionalRequestConflict")]

    def intercept(request: Request) -> Reply | None:
        is_meant = request.method == "PUT" and request.path == MANIFEST_PATH
        return replies.pop() if is_meant and replies else None

    server.intercept = intercept
    assert publish(server, image, "--retry-delay", "0.01").code == 0


# What others wrote


def put_files(server: CloudServer, files: dict[str, bytes]) -> None:
    client = s3_client(server)
    for name, body in files.items():
        client.put_object(Bucket="images", Key=f"web/{name}", Body=body)


@on_moto
@pytest.mark.parametrize("name", [".bashrc", "Makefile", "root.img.part.x", ".x.part.0"])
def test_a_manifest_chooses_no_file_of_the_directory(
    server: CloudServer, image: Path, tmp_path: Path, name: str
) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    files = read_files(manifest.parent)
    document = files[manifest.name].replace(b"root.img.part.0<", f"{name}<".encode())
    put_files(server, {**files, name: files["root.img.part.0"], manifest.name: document})
    out = tmp_path / "out"
    out.mkdir()
    refused = run(server, "download", URL, "-d", out, "--force")
    check_refused(refused, 3, "expected a part named NAME.part.N, got")
    assert read_files(out) == {}


def test_parts_get_no_more_room_than_the_manifest_says(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    files = read_files(manifest.parent)
    size = sum(len(body) for name, body in files.items() if ".part." in name)
    claim = f"<bundled_size>{PART_SIZE}<".encode()
    document = files[manifest.name].replace(f"<bundled_size>{size}<".encode(), claim)
    assert document != files[manifest.name]
    put_files(server, {**files, manifest.name: document})
    out = tmp_path / "out"
    out.mkdir()
    refused = run(server, "download", URL, "-d", out)
    check_refused(refused, 4, "more bytes together than the manifest says")
    assert sum(map(len, read_files(out).values())) <= PART_SIZE


def test_a_key_that_no_bundle_can_have_does_not_end_ls(moto: CloudServer, image: Path) -> None:
    assert publish(moto, image).code == 0
    s3_client(moto).put_object(Bucket="images", Key="a" * 1017 + ".part.0", Body=b"x")
    outcome = run(moto, "ls", "s3://images", "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["bundle_count"] == 1


def test_nothing_is_made_before_the_parts_are_there(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    manifest.with_name("root.img.part.3").unlink()
    server.requests.clear()
    check_refused(run(server, "upload", manifest, "s3://mistyped/web"), 5, "part.3: No such file")
    assert server.requests == []


def test_replacing_the_bundle_of_an_ami_is_told(moto: CloudServer, image: Path) -> None:
    first = publish(moto, image)
    assert first.code == 0
    again = publish(moto, image)
    check_refused(again, 6, "an earlier run may have done all; ami-bundler register tells its id")
    outcome = publish(moto, image, "--name", "web 2", "--force")
    assert outcome.code == 0
    assert f"registered from it any more: {first.text.strip()}" in outcome.errors


def test_replacing_it_by_upload_is_told_too(moto: CloudServer, image: Path, tmp_path: Path) -> None:
    image_id = publish(moto, image).text.strip()
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    outcome = run(moto, "upload", manifest, LOCATION, "--enable-acls", "--force")
    assert outcome.code == 0, outcome.errors
    assert f"registered from it any more: {image_id}" in outcome.errors
    again = run(moto, "upload", manifest, LOCATION, "--enable-acls", "--force")
    assert (again.code, again.errors.count("is replaced")) == (0, 0)


def test_replacing_where_ec2_may_not_be_asked(
    moto: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert publish(moto, image).code == 0
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    refusal = Reply(status="403 Forbidden", body=REFUSAL)
    moto.intercept = lambda request: refusal if request.path == "/" else None
    outcome = run(moto, "upload", manifest, LOCATION, "--enable-acls", "--force")
    assert outcome.code == 0, outcome.errors
    assert f"{URL} is replaced; which AMIs need it is not known: " in outcome.errors


@on_moto
@pytest.mark.parametrize("word", ["images/new", "web", f"{URL}"])
def test_no_bucket_is_made_of_the_name_of_a_directory(
    server: CloudServer, image: Path, tmp_path: Path, word: str
) -> None:
    manifest = bundle(image, tmp_path / "bundle")
    server.requests.clear()
    message = rf"to {word}: expected s3://BUCKET/\[PREFIX\]"
    check_refused(run(server, "upload", manifest, word), 2, f"upload {message}")
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    check_refused(run(server, "publish", image, word, "--name", "web 1", *keys), 2, message)
    assert server.requests == []


def test_a_refusal_before_anything_is_done_leaves_no_state(
    moto: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert run(moto, "publish", image, LOCATION, "--name", "web 1").code == 2
    assert publish(moto, image).code == 0
    check_refused(publish(moto, image), 6, "expected a free name")
    assert list((tmp_path / "state").iterdir()) == []


def test_doctor_knows_what_publish_would_go_on_with(server: CloudServer, image: Path) -> None:
    publish_without_registration(server, image)
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["doctor", "publish", image, LOCATION, "--name", "web 1", "--json"]
    words += ["--state-dir", image.parent / "state", "--acl", "none", *keys]
    facts = json.loads(run(server, *words).text)
    found = {(one["check"], one["status"]): one["message"] for one in facts["findings"]}
    assert facts["ok"], found
    assert found["state", "warn"] == "an earlier run was interrupted"
    assert found["bundle", "warn"] == f"{URL} is there"
    anew = json.loads(run(server, *words, "--no-resume").text)
    assert [one["check"] for one in anew["findings"] if one["status"] == "fail"] == ["bundle"]


def test_doctor_knows_what_register_would_do(moto: CloudServer, image: Path) -> None:
    assert publish(moto, image).code == 0
    assert run(moto, "register", URL, "--name", "web 1").code == 0
    outcome = run(moto, "doctor", "register", URL, "--name", "web 1")
    assert outcome.code == 0, outcome.text
    assert "of this very manifest" in outcome.text


# What a review found


def granted(server: CloudServer) -> set[str]:
    """File names of the objects that were given EC2's ACL by requests of their own."""
    return {
        request.path.rpartition("/")[2]
        for request in server.requests
        if request.headers.get("x-amz-acl") == "aws-exec-read" and "acl" in request.query
    }


def test_a_bundle_that_is_whole_gets_the_acl_that_is_asked_for(
    moto: CloudServer, image: Path
) -> None:
    publish_without_registration(moto, image)
    outcome = publish(moto, image, "--acl", "aws-exec-read", "--enable-acls")
    assert outcome.code == 0, outcome.errors
    assert sent_parts(moto) == []
    assert granted(moto) == set(stored_objects(moto, "images", "web/"))


@pytest.mark.parametrize("more", [(), ("--stream",)], ids=["copy", "stream"])
def test_what_is_migrated_already_gets_the_acl_that_is_asked_for(
    moto: CloudServer, image: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    make_bucket(moto, "goal")
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    assert run(moto, "upload", manifest, LOCATION, "--acl", "none").code == 0
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["migrate", URL, "s3://goal/x", *keys, *more]
    assert run(moto, *words, "--acl", "none").code == 0
    moto.requests.clear()
    assert run(moto, *words, "--enable-acls").code == 0
    assert granted(moto) == set(read_files(manifest.parent))


def test_a_bundle_of_an_ami_is_not_replaced_unasked(moto: CloudServer, image: Path) -> None:
    """All was done, and only the reply to the registration was lost."""
    publish_without_registration(moto, image)
    image_id = run(moto, "register", URL, "--name", "web 1").text.strip()
    before = stored_objects(moto, "images", "web/")
    refused = publish(moto, image, "--name", "web 2", "--arch", "arm64")
    assert refused.code == 2
    assert f"is what {image_id} is registered from; --force replaces it" in refused.errors
    assert stored_objects(moto, "images", "web/") == before
    outcome = publish(moto, image, "--name", "web 2", "--arch", "arm64", "--force")
    assert outcome.code == 0, outcome.errors
    assert f"registered from it any more: {image_id}" in outcome.errors


def test_who_does_not_answer_at_once_is_not_waited_for(
    moto: CloudServer, image: Path, tmp_path: Path
) -> None:
    assert publish(moto, image).code == 0
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    moto.requests.clear()
    busy = Reply(status="503 Service Unavailable")
    moto.intercept = lambda request: busy if request.path == "/" else None
    outcome = run(moto, "upload", manifest, LOCATION, "--enable-acls", "--force", "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["retry_count"] == 0
    assert len([request for request in moto.requests if request.path == "/"]) == 1


NO_LISTING = Reply(
    status="200 OK",
    body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    headers=(("Content-Type", "application/xml"),),
)


@on_moto
@pytest.mark.parametrize("more", [(), ("--no-resume",)])
@pytest.mark.parametrize("keeps_time", [False, True])
def test_own_parts_that_are_not_listed_yet_are_replaced(
    server: CloudServer, image: Path, more: tuple[str, ...], *, keeps_time: bool
) -> None:
    refusal = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: (
        refusal if request.method == "PUT" and "manifest" in request.path else None
    )
    assert publish(server, image).code == 6
    state = image.stat()
    image.write_bytes(random_bytes(4 * PART_SIZE, 77))
    if keeps_time:
        os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    server.intercept = lambda request: NO_LISTING if "list-type" in request.query else None
    outcome = publish(server, image, *more)
    assert outcome.code == 0, outcome.errors
    server.intercept = lambda request: None
    assert check_whole(stored_objects(server, "images", "web/"))


def test_an_object_whose_reply_was_lost_is_counted(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    server.faults.add(Fault(kind=FaultKind.DROP_RESPONSE, method="PUT", path="part.2"))
    words = ("--acl", "none", "--json", "--retry-delay", "0.01")
    facts = json.loads(run(server, "upload", manifest, LOCATION, *words).text)
    told = (facts["transferred_count"], facts["held_count"], facts["retry_count"])
    assert told == (len(read_files(manifest.parent)), 0, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"<html xmlns='http://www.w3.org/1999/xhtml'><body>Log in</body></html>",
        b"",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents/></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size>"
        b"<LastModified>99999999999999999999</LastModified></Contents></ListBucketResult>",
    ],
    ids=["a page", "nothing", "no key", "no time"],
)
def test_what_is_no_listing_is_no_empty_one(moto: CloudServer, body: bytes) -> None:
    moto.intercept = lambda request: (
        Reply(status="200 OK", body=body) if "list-type" in request.query else None
    )
    refused = run(moto, "ls", "s3://images", "--no-amis", "--max-attempts", "1")
    check_refused(refused, 7, "expected an answer of AWS, got one")


def test_head_tells_the_right_region_in_a_header_alone(moto: CloudServer, image: Path) -> None:
    assert publish(moto, image).code == 0
    headers = (("x-amz-bucket-region", "us-west-2"),)
    reply = Reply(status="400 Bad Request", headers=headers)
    moto.intercept = lambda request: reply if request.method == "HEAD" else None
    check_refused(run(moto, "verify", URL), 6, "the bucket is in us-west-2")


def test_a_new_bucket_is_told_of(server: CloudServer, image: Path, tmp_path: Path) -> None:
    manifest = bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))
    outcome = run(server, "upload", manifest, "s3://brand-new/web", "--acl", "none")
    assert outcome.code == 0, outcome.errors
    assert f"there was no bucket s3://brand-new: it is created, in {REGION}" in outcome.errors
