"""ami list and ami show: what they ask EC2 and S3, and what they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ami_cli import (
    BUCKET,
    ami,
    answer,
    described,
    done,
    facts_of,
    refused,
    register,
)
from tests.support.cloud import REGION, CloudServer, cloud_server, make_bucket, s3_client
from tests.support.in_process import run_here
from tests.support.small_bundles import small_bundle
from tests.support.tools import check_refused

ACCOUNT = "111122223333"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, BUCKET, acl="aws-exec-read")
        yield running


def test_list_finds_what_it_asks_for(server: CloudServer, tmp_path: Path) -> None:
    web = register(server, "web 1", Architecture="x86_64", VirtualizationType="hvm")
    old = register(server, "old 1", Architecture="i386")
    done(server, "tag", web, "stage=live", "team=a")
    done(server, "tag", old, "stage=live")

    def found(*words: str) -> set[str]:
        return set(done(server, "list", "--ids", *words).text.split())

    assert found("--tag", "stage=l*", "--root-device-type", "s3") == {web, old}
    assert found("--tag", "stage", "--tag", "team") == {web}
    assert found("--image-location", f"s3://{BUCKET}/web/old*") == {old}
    path = tmp_path / "filters.json"
    path.write_text('[{"Name": "name", "Values": "*1"}]\n')
    assert found("--filters", "Name=architecture,Values=i386,arm64", f"file://{path}") == {old}
    outcome = done(server, "list", "--name", "none")
    assert (outcome.output, outcome.errors) == (b"", f"no such AMI in {REGION}\n")


def test_list_shows_the_newest_first(server: CloudServer) -> None:
    dates = {"ami-1": "2024-02-28", "ami-2": "2026-01-31", "ami-3": "2025-06-01"}
    reply = described(
        *(
            (name, f"<creationDate>{date}T10:00:00.000Z</creationDate><name>\u202ename</name>")
            for name, date in dates.items()
        ),
        ("ami-4", ""),
    )

    def ids(*words: str) -> list[str]:
        answer(server, reply)
        return done(server, "list", "--ids", *words).text.split()

    assert ids() == ["ami-2", "ami-3", "ami-1", "ami-4"]
    assert ids("--limit", "2") == ["ami-2", "ami-3"]
    assert ids("--created-after", "2025-06-01T12:00+02:00") == ["ami-2", "ami-3"]
    assert ids("--created-after", "2025-06-01T10:00:01") == ["ami-2"]
    assert ids("--created-before", "2025-06-01T10:00:01Z") == ["ami-3", "ami-1"]
    answer(server, reply)
    outcome = done(server, "list", "--limit", "3")
    head, *rows = outcome.text.splitlines()
    assert head.split()[:3] == ["IMAGE", "CREATED", "STATE"]
    assert rows[0].startswith("ami-2  2026-01-31 10:00")
    assert rows[0].endswith("?name")
    assert "the newest 3 of 4 AMIs" in outcome.errors
    answer(server, reply)
    facts = facts_of(server, "list", "--limit", "1")
    assert (facts["match_count"], [one["ImageId"] for one in facts["Images"]]) == (4, ["ami-2"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--owner", "nobody"), "--owner 'nobody': expected self, amazon"),
        (("--owners", "self", "nobody"), "--owner 'nobody': expected .*, all or the 12 digits"),
        (("--state", "avaliable"), "--state 'avaliable': expected one of pending, available"),
        (("--root-device-type", "floppy"), "expected one of ebs, instance-store, s3"),
        (("--limit", "0"), "--limit '0': expected a number from 1"),
        (("--query", "Images["), r"--query 'Images\[': .*expression$"),
        (("--query", "a", "--ids"), "expected --ids or --query, got both"),
    ],
)
def test_list_refuses_before_anything_is_asked(words: tuple[str, ...], reason: str) -> None:
    check_refused(run_here("ami", "list", *words, "--region", REGION), 2, reason)


def test_show_tells_of_the_bundle_too(server: CloudServer) -> None:
    mapping = {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}
    image_id = register(server, "web", Architecture="x86_64", BlockDeviceMappings=[mapping])
    done(server, "share", image_id, "--account", ACCOUNT)
    done(server, "tag", image_id, "stage=live")
    facts = facts_of(server, "show", image_id, "--price", "100000")
    assert facts["Images"][0]["ImageLocation"] == f"{BUCKET}/web/web.manifest.xml"
    assert facts["launch_permissions"] == [{"kind": "account", "who": ACCOUNT}]
    bundle = facts["bundle"]
    assert bundle["state"] == "complete"
    assert (bundle["part_count"], bundle["proven_part_count"]) == (3, 3)
    assert bundle["size"] == sum(map(len, small_bundle("web").values()))
    assert bundle["usd_per_month"] == round(bundle["size"] / 2**30 * 100000, 6)
    assert bundle["readable_by_ec2"] is False  # they were put without an ACL
    assert (bundle["readable_by"], bundle["acl_count"]) == ("owner", 4)
    lines = done(server, "show", image_id, "--price", "100000").text.splitlines()
    parted = (line.partition("  ") for line in lines)
    shown = [(name, words.strip()) for name, _, words in parted]
    assert ("ImageId", image_id) in shown
    assert ("BlockDeviceMapping", "/dev/sdb ephemeral0") in shown
    assert ("Tag", "stage=live") in shown
    assert ("launch permissions", f"account {ACCOUNT}") in shown
    assert "complete: 3 of 3 parts proven" in dict(shown)["bundle"]
    s3_client(server).delete_object(Bucket=BUCKET, Key="web/web.part.1")
    bundle = facts_of(server, "show", image_id)["bundle"]
    assert (bundle["state"], bundle["size"]) == ("incomplete", None)
    assert "web.part.1" in bundle["problem"]
    assert facts_of(server, "show", image_id, "--no-bundle")["bundle"] is None


def test_show_says_what_its_owner_alone_may_see(server: CloudServer) -> None:
    image_id = register(server, "web")
    refusal = refused("AuthFailure", "Not authorized for image:ami-1")
    shown = described((image_id, "<imageOwnerId>444455556666</imageOwnerId>"))

    def hide() -> None:
        answer(server, shown, refusal, status="403 Forbidden")

    hide()
    facts = facts_of(server, "show", image_id)
    assert facts["launch_permissions"] is None
    assert "Not authorized" in facts["launch_permissions_hidden_because"]
    hide()
    assert "hidden: " in done(server, "show", image_id).text
    hide()
    outcome = ami(server, "share", image_id, "--list")
    check_refused(outcome, 6, "only the AMI's owner may, which is 444455556666$")


def test_query_shows_what_it_finds(server: CloudServer) -> None:
    words = ("list", "--query", "Images[].[ImageId,Name]")
    items = described(("ami-1", "<name>a</name>"), ("ami-2", "<name>b</name>"))
    answer(server, items)
    assert done(server, *words).text == "ami-2\tb\nami-1\ta\n"
    answer(server, items)
    assert facts_of(server, *words) == [["ami-2", "b"], ["ami-1", "a"]]


def test_show_of_no_such_ami(server: CloudServer) -> None:
    remedy = "check the id and the region"
    check_refused(
        ami(server, "show", "ami-0123456789abcdef0"), 6, f"InvalidAMIID.NotFound.*{remedy}"
    )
    check_refused(ami(server, "show", "web"), 6, "InvalidAMIID.Malformed.*8 or 17 hexadecimal")
    answer(server, described())
    check_refused(ami(server, "show", "ami-1"), 6, f"there is no such AMI.*NotFound.*{remedy}")
