"""Commands that continue what an interrupted run has begun, and say when they cannot."""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from bundler.host.state_file import StateFile
from bundler.workflow.publish_state import state_name
from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle, load_key, unbundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Reply,
    cloud_server,
    make_bucket,
    on_moto,
    s3_client,
    slow_on_swift,
)
from tests.support.faults import FOREVER, Fault, FaultKind, Request
from tests.support.images import MIB, random_bytes
from tests.support.in_process import run_here
from tests.support.stored import check_whole, read_files, sent_parts, stored_objects
from tests.support.tools import Outcome, check_refused, cli_environment

PART_COUNT = 8
PART_SIZE = 100_000
LOCATION = "s3://images/web"
MANIFEST = f"{LOCATION}/root.img.manifest.xml"
MANIFEST_PATH = "/images/web/root.img.manifest.xml"


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, "images")
        yield running


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root.img"
    path.write_bytes(random_bytes(PART_COUNT * PART_SIZE - 50_000, 1))
    return path


@pytest.fixture
def manifest(image: Path, tmp_path: Path) -> Path:
    return bundle(image, tmp_path / "bundle", "--part-size", str(PART_SIZE))


def run(server: CloudServer, *arguments: str | Path) -> Outcome:
    environment = cli_environment(**server.credentials)
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here(*arguments, *options, environment=environment)


ONE_BY_ONE = ("--max-concurrency", "1")
"""So that all parts before the one that is refused have arrived."""


def upload(server: CloudServer, manifest: Path, *more: str | Path) -> Outcome:
    return run(server, "upload", manifest, LOCATION, "--acl", "none", *ONE_BY_ONE, *more)


def publish(server: CloudServer, image: Path, *more: str | Path) -> Outcome:
    state = image.parent / "state"
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, LOCATION, "--name", "web 1", "--acl", "none"]
    words += ["--part-size", str(PART_SIZE), "--account", "123456789012", "--state-dir", state]
    words += ONE_BY_ONE
    return run(server, *words, *keys, *more)


def state_file(image: Path) -> Path:
    (path,) = (image.parent / "state").iterdir()
    return path


def stored(server: CloudServer) -> dict[str, bytes]:
    return stored_objects(server, "images", "web/")


def refuse_later_parts(server: CloudServer, code: str = "ExpiredToken") -> None:
    """Let some parts pass, and refuse all that follow."""
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            path=".part.",
            after=3,
            times=FOREVER,
            status=400,
            code=code,
        )
    )


def end_faults(server: CloudServer) -> None:
    server.faults.clear()
    server.requests.clear()


def image_in_s3(server: CloudServer, directory: Path) -> bytes:
    directory.mkdir()
    for name, body in stored(server).items():
        (directory / name).write_bytes(body)
    outcome = unbundle(directory / "root.img.manifest.xml", directory / "out")
    assert outcome.code == 0, outcome.errors
    return (directory / "out").read_bytes()


# upload


def test_upload_goes_on_after_new_credentials(server: CloudServer, manifest: Path) -> None:
    refuse_later_parts(server)
    check_refused(upload(server, manifest), 6, r"put s3://images/web/.*ExpiredToken.*log in again")
    assert not check_whole(stored(server))
    held = set(stored(server))
    assert len(held) == 3
    end_faults(server)
    outcome = upload(server, manifest, "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert facts["held_count"] == len(held)
    assert facts["transferred_count"] == PART_COUNT + 1 - len(held)
    assert not held & set(sent_parts(server))
    assert stored(server) == read_files(manifest.parent)


def test_upload_again_is_no_error_and_sends_nothing(server: CloudServer, manifest: Path) -> None:
    assert upload(server, manifest).code == 0
    end_faults(server)
    outcome = upload(server, manifest)
    assert (outcome.code, outcome.text) == (0, f"{MANIFEST}\n")
    assert f"0 objects transferred, {PART_COUNT + 1} were there already" in outcome.errors
    assert not [request for request in server.requests if request.method in ("PUT", "DELETE")]


def test_upload_mends_a_whole_bundle_that_has_lost_a_part(
    server: CloudServer, manifest: Path
) -> None:
    assert upload(server, manifest).code == 0
    client = s3_client(server)
    client.delete_object(Bucket="images", Key="web/root.img.part.3")
    client.put_object(Bucket="images", Key="web/root.img.part.4", Body=bytes(PART_SIZE))
    end_faults(server)
    assert upload(server, manifest).code == 0
    assert sorted(sent_parts(server)) == ["root.img.part.3", "root.img.part.4"]
    assert stored(server) == read_files(manifest.parent)


def test_upload_believes_no_name_size_or_time(server: CloudServer, manifest: Path) -> None:
    for path in manifest.parent.glob("*.part.*"):
        s3_client(server).put_object(
            Bucket="images", Key=f"web/{path.name}", Body=bytes(path.stat().st_size)
        )
    end_faults(server)
    assert upload(server, manifest).code == 0
    assert len(sent_parts(server)) == PART_COUNT
    assert stored(server) == read_files(manifest.parent)


def test_without_resuming_all_is_sent(server: CloudServer, manifest: Path) -> None:
    refuse_later_parts(server)
    assert upload(server, manifest).code == 6
    end_faults(server)
    assert upload(server, manifest, "--no-resume").code == 0
    assert len(sent_parts(server)) == PART_COUNT


def test_a_listing_that_is_late_does_no_harm(server: CloudServer, manifest: Path) -> None:
    empty = (
        b'<?xml version="1.0"?><ListBucketResult><Name>images</Name><Prefix>web/</Prefix>'
        b"<KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
        b"</ListBucketResult>"
    )
    headers = (("Content-Type", "application/xml"),)
    late = Reply(status="200 OK", body=empty, headers=headers)

    def intercept(request: Request) -> Reply | None:
        return late if request.method == "GET" and "list-type=2" in request.query else None

    server.intercept = intercept
    refuse_later_parts(server)
    assert upload(server, manifest).code == 6
    end_faults(server)
    assert upload(server, manifest).code == 0
    # What the listing does not have is sent again; a manifest that it does not have is seen.
    other = manifest.with_name("other.manifest.xml")
    other.write_bytes(manifest.read_bytes().replace(b"</manifest>", b"<x/></manifest>"))
    other.replace(manifest)
    check_refused(upload(server, manifest), 2, f"{MANIFEST} exists; --force replaces it")
    server.intercept = lambda request: None
    assert len(stored(server)) == PART_COUNT + 1


def test_unfinished_uploads_of_the_parts_are_aborted(server: CloudServer, manifest: Path) -> None:
    client = s3_client(server)
    for name in ("root.img.part.0", "root.img.part.7", "other.part.0"):
        client.create_multipart_upload(Bucket="images", Key=f"web/{name}")
    assert upload(server, manifest).code == 0
    left = client.list_multipart_uploads(Bucket="images").get("Uploads", [])
    assert [upload["Key"] for upload in left] == ["web/other.part.0"]


# publish


def test_publish_goes_on_with_the_same_key(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    refuse_later_parts(server)
    check_refused(publish(server, image), 6, r"put s3://images/web/.*ExpiredToken.*log in again")
    assert not check_whole(stored(server))
    held = stored(server)
    assert len(held) == 3
    path = state_file(image)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    end_faults(server)
    outcome = publish(server, image, "--json")
    assert outcome.code == 0, outcome.errors
    assert "resuming: what S3 holds already is not sent again" in outcome.errors
    assert json.loads(outcome.text)["held_count"] == len(held)
    assert not set(held) & set(sent_parts(server))
    assert held.items() <= stored(server).items()
    assert not path.exists()
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()


def test_the_state_has_no_secret(server: CloudServer, image: Path) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    text = state_file(image).read_text()
    end_faults(server)
    assert publish(server, image).code == 0
    shown = run(server, "inspect", MANIFEST, "--json")
    facts = json.loads(shown.text)
    head = json.loads(text.splitlines()[0])
    assert set(head) == {"version", "source", "key", "iv", "extents"}
    # RSA's ciphertexts of 2048 bits; what they hold stands nowhere.
    assert {len(head["key"]), len(head["iv"])} == {512}
    key = load_key(USER_KEY)
    for words in (facts["user_encrypted_key"], facts["user_encrypted_iv"]):
        secret = key.decrypt(bytes.fromhex(words), PKCS1v15()).decode()
        assert len(secret) == 32
        assert secret not in text


def make_longer(image: Path) -> None:
    image.write_bytes(image.read_bytes() + bytes(4096))


def touch(image: Path) -> None:
    os.utime(image, ns=(1, 1))


CHANGES = {"longer": (make_longer, "size"), "touched": (touch, "time of change")}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_image_gets_a_new_key(
    server: CloudServer, image: Path, tmp_path: Path, name: str
) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    held = stored(server)
    key = json.loads(state_file(image).read_text().splitlines()[0])["key"]
    change, words = CHANGES[name]
    change(image)
    end_faults(server)
    refuse_later_parts(server)
    outcome = publish(server, image)
    assert outcome.code == 6
    assert re.search(
        rf"the image's {words} has changed .*starting over with a new key", outcome.errors
    )
    assert json.loads(state_file(image).read_text().splitlines()[0])["key"] != key
    assert not held.items() & stored(server).items()
    end_faults(server)
    assert publish(server, image).code == 0
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()


@pytest.mark.parametrize("offset", [0, 250_000, PART_COUNT * PART_SIZE - 50_001])
def test_a_part_that_comes_out_different_gets_a_new_key(
    server: CloudServer, image: Path, tmp_path: Path, offset: int
) -> None:
    # All parts are remembered, the last ones not sent.
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS,
            method="PUT",
            path=".manifest.xml",
            times=FOREVER,
            status=403,
            code="AccessDenied",
        )
    )
    assert publish(server, image).code == 6
    held = stored(server)
    assert len(held) == PART_COUNT
    state = image.stat()
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(b"!")
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns))
    end_faults(server)
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    assert "a part comes out different than before; starting over with a new key" in outcome.errors
    after = stored(server)
    assert not held.items() & after.items()
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--level", "fast"), "the level has changed from balanced to fast"),
        (("--part-size", "50000"), "the part size has changed from 100000 to 50000"),
    ],
)
def test_other_options_get_a_new_key(
    server: CloudServer, image: Path, more: tuple[str, ...], words: str
) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    end_faults(server)
    outcome = publish(server, image, *more)
    assert outcome.code == 0, outcome.errors
    assert f"an earlier run was interrupted, but {words}: starting over" in outcome.errors
    assert check_whole(stored(server))


def test_another_private_key_gets_a_new_key(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    end_faults(server)
    key, cert = tmp_path / "pk.pem", tmp_path / "cert.pem"
    assert run_here("keygen", "--key", key, "--cert", cert).code == 0
    outcome = publish(server, image, "--key", key, "--cert", cert)
    assert outcome.code == 0, outcome.errors
    assert "cannot be read with this private key: starting over" in outcome.errors


def test_publish_without_resuming(server: CloudServer, image: Path) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    held = stored(server)
    end_faults(server)
    outcome = publish(server, image, "--no-resume")
    assert outcome.code == 0
    assert "resuming:" not in outcome.errors
    assert len(sent_parts(server)) == PART_COUNT
    assert not held.items() & stored(server).items()


DAMAGED_STATES = {
    "empty": "",
    "no JSON": "hello\n",
    "a list": "[]\n",
    "another version": '{"version": 99}\n',
    "no source": '{"version": 1}\n',
    "a source of another kind": '{"version": 1, "source": [1]}\n',
    "no key": '{"version": 1, "source": {}}\n',
    "cut": '{"version": 1, "source": {"na',
}


@on_moto
@pytest.mark.parametrize("name", DAMAGED_STATES)
def test_a_damaged_state_is_not_used(server: CloudServer, image: Path, name: str) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    state_file(image).write_text(DAMAGED_STATES[name])
    end_faults(server)
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    assert check_whole(stored(server))


@on_moto
@pytest.mark.parametrize(
    "extents", [[[0, -1]], [[-4096, 4096]], [[0, 10**12]], [[4096, 4096], [0, 4096]], [["a", 1]], 7]
)
def test_extents_of_a_damaged_state_are_not_used(
    server: CloudServer, image: Path, extents: object
) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    path = state_file(image)
    head, *others = path.read_text().splitlines()
    path.write_text("\n".join((json.dumps({**json.loads(head), "extents": extents}), *others, "")))
    end_faults(server)
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    assert "starting over with a new key" in outcome.errors
    assert check_whole(stored(server))


def test_a_line_that_was_not_ended_is_left_out(server: CloudServer, image: Path) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    with state_file(image).open("a") as file:
        file.write('{"part": 3, "sha')
    end_faults(server)
    refuse_later_parts(server)
    outcome = publish(server, image)
    assert "resuming" in outcome.errors
    end_faults(server)
    assert publish(server, image).code == 0
    assert check_whole(stored(server))


def test_two_at_once_are_refused(server: CloudServer, image: Path) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    end_faults(server)
    with StateFile.open(state_file(image), work="publishing it"):
        check_refused(publish(server, image), 2, "another process is publishing this bundle")
    assert sent_parts(server) == []


@pytest.mark.parametrize("kind", ["readable by others", "link", "directory"])
def test_a_state_that_is_not_private_is_refused(
    server: CloudServer, image: Path, kind: str
) -> None:
    refuse_later_parts(server)
    assert publish(server, image).code == 6
    path = state_file(image)
    if kind == "readable by others":
        path.chmod(0o644)
    else:
        path.rename(path.with_name("elsewhere"))
        path.mkdir() if kind == "directory" else path.symlink_to("elsewhere")
    end_faults(server)
    outcome = publish(server, image)
    assert outcome.code in (3, 8)
    assert "keep state in" in outcome.errors
    assert sent_parts(server) == []


def test_without_a_place_for_the_state_it_works_too(server: CloudServer, image: Path) -> None:
    (image.parent / "state").write_bytes(b"in the way")
    check_refused(publish(server, image), 8, "keep state in .*File exists")
    words: list[str | Path] = ["--state-dir", image.parent / "other"]
    assert publish(server, image, *words).code == 0


# What was done but not told


def test_a_bundle_that_is_whole_is_registered_only(server: CloudServer, image: Path) -> None:
    def intercept(request: Request) -> Reply | None:
        # EC2 is asked for the name first, and for the registration when the manifest is there.
        is_registration = request.path == "/" and bool(server.find("PUT", MANIFEST_PATH))
        return Reply(status="403 Forbidden", body=DENIED) if is_registration else None

    server.intercept = intercept
    assert publish(server, image).code == 6
    before = stored(server)
    assert check_whole(before)
    server.intercept = lambda request: None
    end_faults(server)
    outcome = publish(server, image, "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    assert facts["part_count"] == PART_COUNT
    assert facts["data_size"] == image.stat().st_size
    assert not [request for request in server.requests if request.method == "PUT"]
    assert stored(server) == before
    assert len(server.registrations) == 1


DENIED = (
    b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>It is so.</Message>"
    b"</Error></Errors><RequestID>1</RequestID></Response>"
)


def test_an_ami_whose_registration_was_not_heard_of(server: CloudServer, image: Path) -> None:
    saved: list[bytes] = []

    def keep_state(request: Request) -> None:
        if request.path == "/" and server.registrations == [] and server.find("PUT", MANIFEST_PATH):
            saved.append(state_file(image).read_bytes())

    server.intercept = keep_state
    first = publish(server, image)
    assert first.code == 0
    server.intercept = lambda request: None
    # As if it had been killed behind the registration.
    path = image.parent / "state" / state_name(MANIFEST, server.url)
    path.touch(mode=0o600)
    path.write_bytes(saved[0])
    end_faults(server)
    second = publish(server, image)
    assert (second.code, second.text) == (0, first.text)
    assert not [request for request in server.requests if request.method == "PUT"]
    assert not path.exists()


def test_a_whole_bundle_that_has_lost_a_part_is_sent_again(
    server: CloudServer, image: Path, tmp_path: Path
) -> None:
    def intercept(request: Request) -> Reply | None:
        is_registration = request.path == "/" and bool(server.find("PUT", MANIFEST_PATH))
        return Reply(status="403 Forbidden", body=DENIED) if is_registration else None

    server.intercept = intercept
    assert publish(server, image).code == 6
    s3_client(server).delete_object(Bucket="images", Key="web/root.img.part.02")
    server.intercept = lambda request: None
    end_faults(server)
    outcome = publish(server, image)
    assert outcome.code == 0, outcome.errors
    assert sent_parts(server) == ["root.img.part.02"]
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()


@slow_on_swift
def test_many_small_parts(server: CloudServer, tmp_path: Path) -> None:
    image = tmp_path / "root.img"
    image.write_bytes(random_bytes(MIB // 4, 5))
    outcome = publish(server, image, "--part-size", "1K", "--json")
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.text)["part_count"] > 250
    assert image_in_s3(server, tmp_path / "user") == image.read_bytes()
