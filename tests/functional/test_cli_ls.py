"""ls as a process of its own, against S3 and EC2 over HTTP."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import (
    REGION,
    S3_SERVERS,
    CloudServer,
    Fault,
    FaultKind,
    Reply,
    cloud_server,
    error_reply,
    make_bucket,
    open_cloud,
    s3_client,
)
from tests.support.in_process import run_here
from tests.support.small_bundles import small_bundle, small_manifest, small_parts
from tests.support.tools import Outcome, check_refused, cli_environment

BUCKET = "images"
REFUSED, TRANSFER, USAGE = 6, 7, 2
"""Exit codes."""


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        make_bucket(running, BUCKET)
        yield running


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    """The server that is there when the test is of EC2, or of words."""
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, BUCKET)
        yield running


def put(server: CloudServer, objects: Mapping[str, bytes], **more: Any) -> None:
    client = s3_client(server)
    for key, body in objects.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body, **more)


def register(server: CloudServer, location: str, name: str) -> str:
    client = open_cloud(server).ec2()
    return client.register_image(Name=name, ImageLocation=location)["ImageId"]


def ls(server: CloudServer, location: str, *more: str) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION, "--retry-delay", "0.01")
    environment = cli_environment(**server.credentials)
    return run_here("ls", location, *more, *options, environment=environment)


def facts_of(server: CloudServer, location: str, *more: str) -> Any:
    outcome = ls(server, location, "--json", *more)
    assert outcome.code == 0, outcome.errors
    return json.loads(outcome.output)


def test_bundles_of_all_states_and_depths(server: CloudServer) -> None:
    whole = small_bundle("a", 12, folder="web/")
    broken = small_bundle("b", folder="web/deep/er/")
    del broken["web/deep/er/b.part.1"]
    alone = {"web/c.part.0": b"12345", "web/c.part.1": b"12345"}
    bad = {"web/d.manifest.xml": b"<html>\x1b[2J"}
    put(server, whole | broken | alone | bad | small_bundle("e", folder="other/"))
    image_id = register(server, f"{BUCKET}/web/a.manifest.xml", "web a")
    facts = facts_of(server, f"s3://{BUCKET}/web/")
    by_name = {bundle["name"]: bundle for bundle in facts["bundles"]}
    assert list(by_name) == ["a", "c", "d", "b"]
    a = by_name["a"]
    assert (a["state"], a["part_count"], a["expected_part_count"]) == ("complete", 12, 12)
    assert (a["manifest"], a["amis"]) == (f"s3://{BUCKET}/web/a.manifest.xml", [image_id])
    assert a["size"] == sum(map(len, whole.values()))
    b = by_name["b"]
    assert (b["state"], b["missing_count"], b["amis"]) == ("incomplete", 1, [])
    assert b["missing_parts"] == ["b.part.1"]
    c = by_name["c"]
    assert (c["state"], c["size"], c["part_count"]) == ("no manifest", 10, 2)
    assert by_name["d"]["state"] == "unreadable"
    assert "not well-formed" in by_name["d"]["problem"]
    size = sum(len(body) for bundle in (whole, broken, alone, bad) for body in bundle.values())
    assert (facts["size"], facts["bundle_count"]) == (size, 4)
    assert facts["unfinished_upload_count"] == 0


def test_the_table(server: CloudServer) -> None:
    broken = small_bundle("web-b", 5)
    for index in range(4):
        del broken[f"web-b.part.{index}"]
    put(server, small_bundle("x", folder="web/") | broken)
    image_id = register(server, f"{BUCKET}/web/x.manifest.xml", "web x")
    outcome = ls(server, f"s3://{BUCKET}/web")
    assert (outcome.code, outcome.errors) == (0, "")
    head, first, missing, second, total = outcome.text.splitlines()
    assert head.split() == ["BUNDLE", "STATE", "SIZE", "PARTS", "AMIS", "USD/MONTH"]
    assert first.split()[:2] == [f"s3://{BUCKET}/web-b.manifest.xml", "incomplete"]
    assert first.split()[4:] == ["1/5", "-", "<0.01"]
    assert missing.strip() == "missing: web-b.part.0, web-b.part.1, web-b.part.2 and 1 more"
    assert second.split()[0] == f"s3://{BUCKET}/web/x.manifest.xml"
    assert second.split()[4:] == ["3", image_id, "<0.01"]
    assert total.startswith("2 bundles ")
    assert len(head) == len(first) == len(second) == len(total)
    incomplete = ls(server, f"s3://{BUCKET}", "--incomplete")
    assert [line.split()[0] for line in incomplete.text.splitlines()[1:]] == [
        f"s3://{BUCKET}/web-b.manifest.xml",
        "missing:",
        "1",
    ]


def test_hostile_names_and_words_do_not_reach_the_terminal(moto: CloudServer) -> None:
    document = small_manifest("x", small_parts("x", 1), names=["\u202exml.\u009bx"])
    put(moto, {"a\u202eb/x.manifest.xml": document, "y.manifest.xml": b"<a>\xc2\x9b2J</b>"})
    outcome = ls(moto, f"s3://{BUCKET}")
    assert outcome.code == 0
    assert all(line.isprintable() for line in outcome.text.splitlines())
    assert f"s3://{BUCKET}/a?b/x.manifest.xml" in outcome.text


def test_nothing_there(server: CloudServer) -> None:
    outcome = ls(server, f"s3://{BUCKET}/web/")
    assert (outcome.code, outcome.output) == (0, b"")
    assert outcome.errors == f"no bundle begins with s3://{BUCKET}/web/\n"
    assert facts_of(server, BUCKET)["bundles"] == []


def test_no_such_bucket(server: CloudServer) -> None:
    check_refused(ls(server, "s3://nowhere"), REFUSED, "list s3://nowhere/.*NoSuchBucket")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["s3://"], "'' is not a bucket name"),
        (["s3:///web"], "'' is not a bucket name"),
        (["s3://b!/web"], "'b!' is not a bucket name"),
        (["s3://images/" + "x" * 1025], "longer than 1024 bytes"),
        (["s3://images", "--price", "free"], "--price 'free': expected US dollars"),
        (["s3://images", "--price", "-1"], "--price"),
        (["s3://images", "--price", "nan"], "--price 'nan'"),
        (["s3://images", "--price", "1e9"], "--price '1e9'"),
    ],
    ids=["nothing", "no bucket", "bad bucket", "long", "word", "negative", "nan", "exponent"],
)
def test_usage(words: list[str], message: str) -> None:
    check_refused(run_here("ls", *words), USAGE, message)


def listing_reply(*objects: tuple[str, int]) -> Reply:
    """A listing that a server gives which has not heard of all yet."""
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;0&quot;</ETag>"
        "<LastModified>2020-01-01T00:00:00.000Z</LastModified>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key, size in objects
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    return Reply(
        status="200 OK", body=body.encode(), headers=(("Content-Type", "application/xml"),)
    )


@pytest.mark.parametrize(
    "listed", [["x.manifest.xml"], ["x.part.1"], ["x.manifest.xml", "x.part.0", "x.part.2"]]
)
def test_a_late_listing_calls_nothing_missing(server: CloudServer, listed: list[str]) -> None:
    objects = small_bundle("x")
    put(server, objects)
    late = listing_reply(*((key, len(objects[key])) for key in listed))
    server.intercept = lambda request: late if "list-type=2" in request.query else None
    (bundle,) = facts_of(server, BUCKET)["bundles"]
    assert (bundle["state"], bundle["part_count"]) == ("complete", 3)
    assert bundle["size"] == sum(map(len, objects.values()))


def test_ec2_that_refuses_is_a_warning(moto: CloudServer) -> None:
    put(moto, small_bundle("x"))
    refusal = Reply(
        status="403 Forbidden",
        body=b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>No.</Message>"
        b"</Error></Errors></Response>",
    )
    moto.intercept = lambda request: refusal if request.path == "/" else None
    outcome = ls(moto, f"s3://{BUCKET}")
    assert (outcome.code, outcome.complaints) == (0, [])
    assert "which AMIs are registered is not known: list the AMIs" in outcome.errors
    assert outcome.text.splitlines()[1].split()[5] == "?"
    assert facts_of(moto, BUCKET)["bundles"][0]["amis"] is None


def test_ec2_that_is_not_there(moto: CloudServer) -> None:
    put(moto, small_bundle("x"))
    moto.faults.add(Fault(kind=FaultKind.RESET_REQUEST, method="POST", path="/", times=100))
    check_refused(ls(moto, f"s3://{BUCKET}"), TRANSFER, "list the AMIs.*--no-amis asks no EC2")
    moto.requests.clear()
    assert facts_of(moto, BUCKET, "--no-amis")["bundles"][0]["amis"] is None
    assert not moto.find("POST", "/")


def test_cost(moto: CloudServer) -> None:
    put(moto, small_bundle("x", 1, size=2**20))
    size = facts_of(moto, BUCKET)["size"]
    facts = facts_of(moto, BUCKET, "--price", "1000")
    assert facts["usd_per_gb_month"] == 1000
    assert facts["usd_per_month"] == pytest.approx(size / 2**30 * 1000, abs=1e-6)
    assert facts_of(moto, BUCKET)["usd_per_gb_month"] == 0.023
    assert "0.98" in ls(moto, BUCKET, "--price", "1000").text


def test_the_cost_of_other_storage_classes_is_not_known(moto: CloudServer) -> None:
    put(moto, small_bundle("x"))
    put(moto, {"x.part.0": b"x 0......."}, StorageClass="STANDARD_IA")
    put(moto, small_bundle("y"))
    facts = facts_of(moto, BUCKET)
    assert [bundle["usd_per_month"] is None for bundle in facts["bundles"]] == [True, False]
    assert facts["bundles"][0]["storage_classes"] == ["STANDARD", "STANDARD_IA"]
    assert facts["usd_per_month"] is None
    assert ls(moto, BUCKET).text.splitlines()[-1].split()[-1] == "unknown"
    assert facts_of(moto, BUCKET, "--price", "0.0125")["usd_per_month"] is not None


def test_unfinished_uploads_are_counted(server: CloudServer) -> None:
    client = s3_client(server)
    put(server, small_bundle("x"))
    for key in ("x.part.0", "web/y.part.0"):
        client.create_multipart_upload(Bucket=BUCKET, Key=key)
    outcome = ls(server, f"s3://{BUCKET}")
    assert f"unfinished uploads that begin with s3://{BUCKET}/: 2;" in outcome.errors
    assert facts_of(server, f"s3://{BUCKET}/web")["unfinished_upload_count"] == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [("403 Forbidden", "AccessDenied"), ("501 Not Implemented", "NotImplemented")],
)
def test_unfinished_uploads_that_nobody_tells_of(moto: CloudServer, status: str, code: str) -> None:
    put(moto, small_bundle("x"))
    hidden = error_reply(status, code)
    moto.intercept = lambda request: hidden if "uploads" in request.query else None
    facts = facts_of(moto, BUCKET)
    assert (facts["unfinished_upload_count"], facts["bundle_count"]) == (None, 1)


def test_a_listing_that_breaks_goes_on(server: CloudServer) -> None:
    put(server, small_bundle("x"))
    server.faults.add(
        Fault(kind=FaultKind.STATUS, query="list-type=2"),
        Fault(kind=FaultKind.CLOSE_RESPONSE, path="x.manifest.xml", at=100),
    )
    assert facts_of(server, BUCKET)["bundles"][0]["state"] == "complete"
