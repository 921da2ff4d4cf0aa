"""delete as a process of its own, against S3 and EC2 over HTTP."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import EC2_CERT, USER_CERT
from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Fault,
    FaultKind,
    Reply,
    cloud_server,
    make_bucket,
    open_cloud,
    s3_client,
    slow_on_swift,
)
from tests.support.faults import FOREVER
from tests.support.in_process import run_here
from tests.support.processes import type_to
from tests.support.small_bundles import small_bundle, small_manifest, small_parts
from tests.support.stored import stored_objects
from tests.support.tools import Outcome, check_refused, cli_argv, cli_environment

BUCKET = "images"
MANIFEST = f"s3://{BUCKET}/web/x.manifest.xml"
USAGE, INPUT, VERIFICATION, REFUSED, TRANSFER = 2, 3, 4, 6, 7
"""Exit codes."""

BUNDLE = small_bundle("x", folder="web/")
OTHERS = {"web/y.manifest.xml": b"another's", "web/y.part.0": b"another's", "x.part.0": b"ours not"}


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, BUCKET)
        put(running, BUNDLE | OTHERS)
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """The server that is there when the test is of EC2, or of words."""
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, BUCKET)
        put(running, BUNDLE | OTHERS)
        yield running


def put(server: CloudServer, objects: Mapping[str, bytes]) -> None:
    client = s3_client(server)

    def put_one(item: tuple[str, bytes]) -> None:
        client.put_object(Bucket=BUCKET, Key=item[0], Body=item[1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put_one, objects.items()))


def stored(server: CloudServer) -> dict[str, bytes]:
    return stored_objects(server, BUCKET, "")


def options(server: CloudServer) -> tuple[str, ...]:
    return ("--endpoint-url", server.url, "--region", REGION, "--retry-delay", "0.01")


def run(server: CloudServer, *words: str | Path) -> Outcome:
    environment = cli_environment(**server.credentials)
    return run_here(*words, *options(server), environment=environment)


def delete(server: CloudServer, *more: str | Path, location: str = MANIFEST) -> Outcome:
    """Delete without being asked."""
    return run(server, "delete", location, "--yes", *more)


def register(server: CloudServer, name: str = "web x") -> str:
    client = open_cloud(server).ec2()
    location = MANIFEST.removeprefix("s3://")
    return client.register_image(Name=name, ImageLocation=location)["ImageId"]


def states(server: CloudServer, location: str = f"s3://{BUCKET}/web/") -> dict[str, str]:
    outcome = run(server, "ls", location, "--json")
    assert outcome.code == 0, outcome.errors
    return {bundle["name"]: bundle["state"] for bundle in json.loads(outcome.output)["bundles"]}


def test_a_bundle_goes_and_nothing_else(server: CloudServer) -> None:
    outcome = delete(server, "--json")
    assert outcome.code == 0, outcome.errors
    assert stored(server) == OTHERS
    facts = json.loads(outcome.output)
    assert (facts["manifest"], facts["dry_run"], facts["versioned"]) == (MANIFEST, False, False)
    assert (facts["deleted_count"], facts["stray_part_count"]) == (4, 0)
    assert facts["size"] == facts["freed_size"] == sum(map(len, BUNDLE.values()))
    assert facts["objects"][0] == MANIFEST
    assert sorted(facts["objects"]) == sorted(f"s3://{BUCKET}/{key}" for key in BUNDLE)


def test_what_is_said(server: CloudServer) -> None:
    outcome = delete(server, "-v")
    assert outcome.text == f"{MANIFEST}\n"
    lines = outcome.errors.splitlines()
    assert lines[0].startswith(f"deleting {MANIFEST}: manifest and parts, 4 objects, ")
    assert lines[1:] == [
        f"  {MANIFEST}",
        *(f"  s3://{BUCKET}/web/x.part.{index}" for index in range(3)),
    ]


def test_a_dry_run_prints_what_would_go(server: CloudServer) -> None:
    before = stored(server)
    outcome = run(server, "delete", MANIFEST, "--dry-run")
    assert outcome.code == 0, outcome.errors
    assert outcome.text.splitlines() == [
        MANIFEST,
        *(f"s3://{BUCKET}/web/x.part.{index}" for index in range(3)),
    ]
    facts = json.loads(run(server, "delete", MANIFEST, "-n", "--json").output)
    assert (facts["dry_run"], facts["deleted_count"], facts["freed_size"]) == (True, 0, 0)
    assert facts["objects"] == outcome.text.splitlines()
    assert stored(server) == before
    assert not [request for request in server.requests if "delete" in request.query]


@slow_on_swift
def test_a_bundle_of_1200_parts(server: CloudServer) -> None:
    """More than a page of a listing, and more than a batch of a deletion."""
    put(server, small_bundle("big", 1200, folder="web/"))
    assert states(server, f"s3://{BUCKET}/web/b") == {"big": "complete"}
    assert states(server, f"s3://{BUCKET}/web/big.manifest.xml") == {"big": "complete"}
    location = f"s3://{BUCKET}/web/big.manifest.xml"
    server.requests.clear()
    outcome = delete(server, "--json", location=location)
    assert outcome.code == 0, outcome.errors
    assert json.loads(outcome.output)["deleted_count"] == 1201
    assert len([request for request in server.requests if "delete" in request.query]) == 3
    assert stored(server) == BUNDLE | OTHERS


def test_a_deletion_that_breaks_off_is_finished_by_the_next(server: CloudServer) -> None:
    fault = Fault(
        kind=FaultKind.RESET_REQUEST, method="POST", query="delete", after=1, times=FOREVER
    )
    server.faults.add(fault)
    broken = delete(server, "--max-attempts", "2")
    assert (broken.code, broken.output) == (TRANSFER, b"")
    assert "the manifest is gone already: call again with --leftovers" in broken.errors
    server.faults.clear()
    parts = {key: body for key, body in BUNDLE.items() if ".part." in key}
    assert stored(server) == parts | OTHERS
    assert states(server)["x"] == "no manifest"
    check_refused(
        delete(server), REFUSED, r"there is no such manifest, but 3 parts .*--leftovers deletes"
    )
    assert stored(server) == parts | OTHERS
    rest = delete(server, "--leftovers", "--json")
    assert json.loads(rest.output)["deleted_count"] == 3
    assert stored(server) == OTHERS
    again = delete(server, "--leftovers")
    assert (again.code, again.text) == (0, f"{MANIFEST}\n")
    assert again.errors == f"nothing is left of {MANIFEST}\n"


def test_a_deletion_that_is_done_though_nobody_hears_of_it(server: CloudServer) -> None:
    server.faults.add(
        Fault(kind=FaultKind.DROP_RESPONSE, method="POST", query="delete", times=2),
    )
    assert delete(server).code == 0
    assert stored(server) == OTHERS


def test_nothing_there(server: CloudServer) -> None:
    location = f"s3://{BUCKET}/web/none.manifest.xml"
    check_refused(delete(server, location=location), REFUSED, "there is no such manifest; check")


def test_strays_stay(server: CloudServer) -> None:
    put(server, {"web/x.part.7": b"of an upload before"})
    outcome = delete(server)
    assert "that the manifest does not name stay: 1;" in outcome.errors
    assert stored(server) == OTHERS | {"web/x.part.7": b"of an upload before"}


def test_a_late_listing_does_not_matter(server: CloudServer) -> None:
    empty = Reply(
        status="200 OK",
        body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        headers=(("Content-Type", "application/xml"),),
    )
    server.intercept = lambda request: empty if "list-type=2" in request.query else None
    outcome = delete(server, "--json")
    server.intercept = lambda request: None
    assert json.loads(outcome.output)["deleted_count"] == 4
    assert stored(server) == OTHERS


@pytest.mark.parametrize("name", ["y.part.0", "index.html", "x.part.0.part.1", "x.part.1x"])
def test_a_manifest_that_names_other_files(moto: CloudServer, name: str) -> None:
    document = small_manifest("x", small_parts("x", 2), names=["x.part.0", name])
    put(moto, {"web/x.manifest.xml": document, f"web/{name}": b"precious"})
    before = stored(moto)
    check_refused(delete(moto), INPUT, "part 1 is named .*: it may be another bundle's; --force")
    check_refused(delete(moto, "--leftovers"), INPUT, "part 1 is named")
    assert stored(moto) == before
    outcome = delete(moto, "--force")
    assert outcome.code == 0, outcome.errors
    assert "parts that are not named x.part.N: 1;" in outcome.errors
    assert f"web/{name}" not in stored(moto)


@pytest.mark.parametrize("more", [(), ("--force",), ("--force", "--leftovers")])
def test_a_manifest_that_names_another_manifest(moto: CloudServer, more: tuple[str, ...]) -> None:
    document = small_manifest("x", small_parts("x", 1), names=["y.manifest.xml"])
    put(moto, {"web/x.manifest.xml": document})
    before = stored(moto)
    check_refused(delete(moto, *more), INPUT, "a manifest is never deleted as a part")
    assert stored(moto) == before


@pytest.mark.parametrize("name", ["../x.part.0", "/x.part.0", ".."])
def test_a_manifest_that_names_a_path(moto: CloudServer, name: str) -> None:
    put(moto, {"web/x.manifest.xml": small_manifest("x", small_parts("x", 1), names=[name])})
    check_refused(delete(moto, "--force"), INPUT, "is not a plain file name")
    assert stored(moto)["x.part.0"] == OTHERS["x.part.0"]


def test_a_malformed_manifest(moto: CloudServer) -> None:
    put(moto, {"web/x.manifest.xml": b"<html>"})
    check_refused(delete(moto), INPUT, "not well-formed.*--leftovers --force deletes it")
    assert delete(moto, "--leftovers", "--force").code == 0
    assert stored(moto) == OTHERS


def test_the_signature(moto: CloudServer) -> None:
    check_refused(delete(moto, "--cert", EC2_CERT), VERIFICATION, "signature")
    assert stored(moto) == BUNDLE | OTHERS
    assert delete(moto, "--cert", USER_CERT).code == 0
    put(moto, {"web/x.part.0": b"left"})
    check_refused(
        delete(moto, "--cert", USER_CERT, "--leftovers"), VERIFICATION, "there is no manifest"
    )


def test_a_bundle_that_an_ami_needs(server: CloudServer) -> None:
    image_ids = sorted((register(server, "web 1"), register(server, "web 2")))
    outcome = delete(server)
    check_refused(outcome, USAGE, "needed by AMIs that are registered from it: .*--force")
    assert all(image_id in outcome.errors for image_id in image_ids)
    assert stored(server) == BUNDLE | OTHERS
    check_refused(run(server, "delete", MANIFEST, "-n"), USAGE, "registered from it")
    forced = delete(server, "--force")
    assert (forced.code, stored(server)) == (0, OTHERS)
    assert (
        f"without {MANIFEST} nobody can launch the AMIs that are registered from it"
        in forced.errors
    )


def test_a_bundle_whose_ami_is_deregistered(moto: CloudServer) -> None:
    client = open_cloud(moto).ec2()
    client.deregister_image(ImageId=register(moto))
    assert delete(moto).code == 0


def test_ec2_that_refuses(moto: CloudServer) -> None:
    refusal = Reply(
        status="403 Forbidden",
        body=b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>No.</Message>"
        b"</Error></Errors></Response>",
    )
    moto.intercept = lambda request: refusal if request.path == "/" else None
    check_refused(delete(moto), REFUSED, "UnauthorizedOperation.*--no-ami-check deletes without")
    assert stored(moto) == BUNDLE | OTHERS
    assert delete(moto, "--no-ami-check").code == 0
    assert stored(moto) == OTHERS


def test_ec2_that_is_not_there(moto: CloudServer) -> None:
    moto.faults.add(Fault(kind=FaultKind.RESET_REQUEST, method="POST", path="/", times=3))
    check_refused(delete(moto), TRANSFER, "list the AMIs.*--no-ami-check deletes without")
    assert stored(moto) == BUNDLE | OTHERS


def test_a_versioned_bucket(moto: CloudServer) -> None:
    s3_client(moto).put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    put(moto, BUNDLE)
    outcome = delete(moto, "--json")
    assert f"s3://{BUCKET} is versioned: what is deleted stays" in outcome.errors
    facts = json.loads(outcome.output)
    assert (facts["versioned"], facts["freed_size"], facts["deleted_count"]) == (True, 0, 4)
    assert stored(moto) == OTHERS


def test_unfinished_uploads_of_its_objects_are_ended(server: CloudServer) -> None:
    client = s3_client(server)
    for key in ("web/x.part.1", "web/x.part.8", "web/y.part.0"):
        client.create_multipart_upload(Bucket=BUCKET, Key=key)
    facts = json.loads(delete(server, "--json").output)
    assert facts["aborted_upload_count"] == 1
    left = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert [upload["Key"] for upload in left] == ["web/x.part.8", "web/y.part.0"]
    assert json.loads(delete(server, "--leftovers", "--json").output)["aborted_upload_count"] == 1


def test_without_a_terminal_it_must_be_said(moto: CloudServer) -> None:
    before = len(moto.requests)
    outcome = run(moto, "delete", MANIFEST)
    check_refused(outcome, USAGE, "no terminal to ask on: expected --yes or --dry-run")
    assert len(moto.requests) == before


@pytest.mark.parametrize("location", [f"s3://{BUCKET}/web/x.part.0", f"s3://{BUCKET}", "s3://"])
def test_what_is_no_manifest(location: str) -> None:
    outcome = run_here("delete", location, "--yes", "--region", REGION)
    check_refused(outcome, USAGE, "expected s3://BUCKET/|is not a bucket name")


def delete_on_terminal(server: CloudServer, words: str) -> tuple[int, bytes, str]:
    """Run the command on a terminal where somebody answers."""
    done = type_to(server, cli_argv("delete", MANIFEST, *options(server)), words)
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("words", ["\n", "n\n", "no\n", "yesterday\n", "\x04"])
def test_a_no_deletes_nothing(moto: CloudServer, words: str) -> None:
    code, output, errors = delete_on_terminal(moto, words)
    assert (code, output) == (USAGE, b"")
    assert "4 objects" in errors
    assert "Continue? [y/N] " in errors
    assert "not confirmed; nothing is deleted" in errors
    assert stored(moto) == BUNDLE | OTHERS


@pytest.mark.parametrize("words", ["y\n", "Y\n", " yes \n"])
def test_a_yes_deletes(moto: CloudServer, words: str) -> None:
    code, output, _ = delete_on_terminal(moto, words)
    assert (code, output) == (0, f"{MANIFEST}\n".encode())
    assert stored(moto) == OTHERS


def test_facts_are_json(moto: CloudServer) -> None:
    facts: Any = json.loads(run(moto, "delete", MANIFEST, "-n", "--json").output)
    assert sorted(facts) == [
        "aborted_upload_count",
        "deleted_count",
        "dry_run",
        "freed_size",
        "manifest",
        "objects",
        "size",
        "stray_part_count",
        "versioned",
    ]
