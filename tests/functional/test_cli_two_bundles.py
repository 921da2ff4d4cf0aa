"""Two bundles in one place: neither may damage the other, whatever their files are called."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import EC2_CERT, USER_CERT, USER_KEY, bundle
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    cloud_server,
    error_reply,
    make_bucket,
    s3_client,
)
from tests.support.faults import Request
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.stored import check_whole, read_files, sent_parts, stored_objects
from tests.support.tools import Outcome, check_refused, cli_environment

PART_SIZE = 50_000
LOCATION = "s3://images/web"
URL = f"{LOCATION}/root.img.manifest.xml"
RENAMED = f"{LOCATION}/web.manifest.xml"
KEYS = ("--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT)
USAGE = 2


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, "images")
        make_bucket(running, "goal")
        yield running


def run(server: CloudServer, *words: str | Path) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def upload(server: CloudServer, manifest: Path, *more: str, to: str = LOCATION) -> Outcome:
    return run(server, "upload", manifest, to, "--acl", "none", *more)


def migrate(server: CloudServer, url: str, *more: str) -> Outcome:
    return run(server, "migrate", url, "s3://goal/web", "--acl", "none", *more, *KEYS)


def make(tmp_path: Path, seed: int, *, is_renamed: bool = False) -> Path:
    """A bundle root.img of four or five parts; its manifest may be called web.manifest.xml."""
    image = tmp_path / f"{seed}.img"
    image.write_bytes(random_bytes(4 * PART_SIZE, seed))
    options = ("--name", "root.img", "--part-size", str(PART_SIZE))
    manifest = bundle(image, tmp_path / f"bundle-{seed}", *options)
    return manifest.rename(manifest.with_name("web.manifest.xml")) if is_renamed else manifest


def put(server: CloudServer, manifest: Path, bucket: str = "images") -> dict[str, bytes]:
    """Somebody else's bundle, as it lies there."""
    files = read_files(manifest.parent)
    for name, body in files.items():
        s3_client(server).put_object(Bucket=bucket, Key=f"web/{name}", Body=body)
    return files


def test_parts_of_another_name_are_replaced_by_force_only(
    server: CloudServer, tmp_path: Path
) -> None:
    first, second = make(tmp_path, 1, is_renamed=True), make(tmp_path, 2, is_renamed=True)
    assert upload(server, first).code == 0
    check_refused(upload(server, second), USAGE, "web.manifest.xml exists; --force replaces it")
    outcome = upload(server, second, "--force")
    assert outcome.code == 0, outcome.errors
    assert stored_objects(server, "images", "web/") == read_files(second.parent)


def test_parts_of_another_name_are_not_sent_twice(server: CloudServer, tmp_path: Path) -> None:
    manifest = make(tmp_path, 1, is_renamed=True)
    refusal = error_reply("403 Forbidden", "AccessDenied")
    server.intercept = lambda request: (
        refusal if request.method == "PUT" and "manifest" in request.path else None
    )
    assert upload(server, manifest).code == 6
    server.intercept = lambda request: None
    server.requests.clear()
    assert upload(server, manifest).code == 0
    assert sent_parts(server) == []
    assert check_whole(stored_objects(server, "images", "web/"))


def test_another_bundle_is_not_overwritten(server: CloudServer, tmp_path: Path) -> None:
    files = put(server, make(tmp_path, 1))
    refused = upload(server, make(tmp_path, 2, is_renamed=True))
    check_refused(refused, USAGE, "another bundle's; .*--force replaces it")
    there = stored_objects(server, "images", "web/")
    assert {name: there[name] for name in files} == files
    assert "web.manifest.xml" not in there


@pytest.mark.parametrize("more", [(), ("--stream",)], ids=["copy", "stream"])
def test_migrate_overwrites_no_other_bundle(
    server: CloudServer, tmp_path: Path, more: tuple[str, ...]
) -> None:
    files = put(server, make(tmp_path, 1), "goal")
    assert upload(server, make(tmp_path, 2, is_renamed=True)).code == 0
    refused = migrate(server, RENAMED, *more)
    check_refused(refused, USAGE, "another bundle's; .*--force replaces it")
    there = stored_objects(server, "goal", "web/")
    assert {name: there[name] for name in files} == files
    assert "web.manifest.xml" not in there
    assert migrate(server, RENAMED, "--force", *more).code == 0
    assert run(server, "verify", "s3://goal/web/web.manifest.xml", "--deep").code == 0


@pytest.mark.parametrize("more", [(), ("--stream",)], ids=["copy", "stream"])
def test_who_migrates_later_damages_no_bundle(
    server: CloudServer, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """B looks before A begins, and sends after A is done."""
    other = make(tmp_path, 1)
    assert upload(server, make(tmp_path, 2)).code == 0
    # A server that is asked for a copy cannot be told to replace nothing: it is looked at before.
    method = "PUT" if more else "HEAD"
    is_done = False

    def intercept(request: Request) -> None:
        nonlocal is_done
        is_part = request.path.startswith("/goal/web/root.img.part.")
        if request.method == method and is_part and not is_done:
            is_done = True
            put(server, other, "goal")

    server.intercept = intercept
    refused = migrate(server, URL, "--max-concurrency", "1", *more)
    check_refused(refused, USAGE, "somebody else has put it there meanwhile")
    assert stored_objects(server, "goal", "web/") == read_files(other.parent)


@pytest.mark.parametrize("more", [("--yes",), ("--yes", "--leftovers")])
def test_what_another_manifest_names_too_is_not_deleted(
    server: CloudServer, tmp_path: Path, more: tuple[str, ...]
) -> None:
    manifest = make(tmp_path, 1)
    assert upload(server, manifest).code == 0
    copy = manifest.read_bytes()
    s3_client(server).put_object(Bucket="images", Key="web/copy.manifest.xml", Body=copy)
    before = stored_objects(server, "images", "web/")
    refused = run(server, "delete", URL, "--no-ami-check", *more)
    check_refused(refused, USAGE, "parts are those of copy.manifest.xml too, such as .*--force")
    assert stored_objects(server, "images", "web/") == before
    assert run(server, "delete", URL, "--no-ami-check", "--force", *more).code == 0
    assert list(stored_objects(server, "images", "web/")) == ["copy.manifest.xml"]


def test_what_another_manifest_names_is_no_leftover(server: CloudServer, tmp_path: Path) -> None:
    manifest = make(tmp_path, 1)
    files = put(server, manifest)
    client = s3_client(server)
    client.put_object(Bucket="images", Key="web/copy.manifest.xml", Body=manifest.read_bytes())
    client.put_object(Bucket="images", Key="web/broken.manifest.xml", Body=b"none")
    client.put_object(Bucket="images", Key="web/root.img.part.77", Body=b"left")
    client.delete_object(Bucket="images", Key="web/root.img.manifest.xml")
    told = run(server, "delete", URL, "--no-ami-check", "--leftovers", "--dry-run")
    assert told.text == f"{LOCATION}/root.img.part.77\n"
    assert "would delete" in told.errors
    assert run(server, "delete", URL, "--no-ami-check", "--leftovers", "--yes").code == 0
    names = set(stored_objects(server, "images", "web/"))
    assert names == {*files, "copy.manifest.xml", "broken.manifest.xml"} - {manifest.name}
