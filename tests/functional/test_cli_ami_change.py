"""The verbs that change an AMI: share, tag, deprecate, protect, disable, enable."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
    replied,
)
from tests.support.cloud import (
    REGION,
    CloudServer,
    Fault,
    FaultKind,
    Reply,
    cloud_server,
    make_bucket,
    s3_client,
)
from tests.support.faults import Request
from tests.support.in_process import run_here
from tests.support.processes import type_to
from tests.support.tools import check_refused, cli_argv

ACCOUNT = "111122223333"
ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678"
IMAGE = described(("ami-1", "<imageState>available</imageState><name>web</name>"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, BUCKET, acl="aws-exec-read")
        yield running


def shared_with(server: CloudServer, image_id: str) -> list[str]:
    return done(server, "share", image_id, "--list").text.splitlines()


def test_share_adds_lists_and_removes(server: CloudServer) -> None:
    image_id = register(server, "web")
    who = ["--account", "1111-2222-3333", "--organization", ORGANIZATION]
    who += ["--organizational-unit", UNIT]
    outcome = done(server, "share", image_id, *who)
    assert outcome.text == f"{image_id}\n"
    told = [f"account {ACCOUNT}", f"organization {ORGANIZATION}", f"organizational-unit {UNIT}"]
    assert shared_with(server, image_id) == told
    done(server, "share", image_id, *who)
    assert shared_with(server, image_id) == told
    done(server, "share", image_id, *who[2:], "--remove")
    assert shared_with(server, image_id) == told[:1]
    facts = facts_of(server, "share", image_id, "--list")
    assert facts["launch_permissions"] == [{"kind": "account", "who": ACCOUNT}]


def test_public_is_asked_for_and_warned_of(server: CloudServer) -> None:
    image_id = register(server, "web")
    check_refused(ami(server, "share", image_id, "--public"), 2, "--public needs --yes")
    assert shared_with(server, image_id) == []
    outcome = done(server, "share", image_id, "--public", "--yes")
    assert "read all that is on it" in outcome.errors
    assert "authorized_keys" in outcome.errors
    assert shared_with(server, image_id) == ["group all"]
    done(server, "share", image_id, "--public", "--remove")
    assert shared_with(server, image_id) == []


@pytest.mark.parametrize(("words", "code"), [("y\n", 0), ("n\n", 2)])
def test_public_needs_a_yes(server: CloudServer, words: str, code: int) -> None:
    image_id = register(server, "web")
    options = ("--endpoint-url", server.url, "--region", REGION)
    argv = cli_argv("ami", "share", image_id, "--public", *options)
    outcome = type_to(server, argv, words)
    assert outcome.returncode == code
    assert f"Make AMI {image_id} public? [y/N] ".encode() in outcome.stderr
    assert shared_with(server, image_id) == ["group all"][: code == 0]


def test_sharing_looks_at_the_bundle(server: CloudServer) -> None:
    """By what EC2 must read; the grantee needs nothing in S3 but for copies."""
    image_id = register(server, "web")
    client = s3_client(server)

    def put_acl(**acl: Any) -> None:
        for name in ("manifest.xml", "part.0", "part.1", "part.2"):
            client.put_object_acl(Bucket=BUCKET, Key=f"web/web.{name}", **acl)

    def warnings() -> str:
        return done(server, "share", image_id, "--account", ACCOUNT).errors

    assert "let their owner alone read them" in warnings()
    put_acl(ACL="aws-exec-read")
    copying = f"to copy AMI {image_id}, or to download its bundle, they must read it in S3"
    acls = "(ACLs of 4 of 4 objects looked at)"
    assert warnings() == (
        f"{copying}, and by its ACLs may not {acls}: a bucket policy lets them that allows them "
        f"s3:GetObject on {BUCKET}/web/* and s3:GetBucketAcl on {BUCKET}; to launch it they need "
        "neither\n"
    )
    put_acl(GrantRead="id=6aa5a366c34c1cbe")
    assert warnings() == (
        f"{copying}: whether they may is not known, as ids in ACLs tell no account {acls}\n"
    )
    put_acl(ACL="authenticated-read")
    assert warnings() == f"{copying}, as everybody may {acls}\n"
    facts = facts_of(server, "share", image_id, "--account", ACCOUNT)["bundle"]
    assert (facts["state"], facts["readable_by"]) == ("complete", "everybody")
    client.put_object_acl(Bucket=BUCKET, Key="web/web.part.1", ACL="private")
    assert "let their owner alone read them" in warnings()
    server.faults.add(
        Fault(
            kind=FaultKind.STATUS, path="web.part.1", query="acl", status=403, code="AccessDenied"
        )
    )
    assert warnings() == f"{copying}: whether they may is not known, as its ACLs are hidden\n"
    client.delete_object(Bucket=BUCKET, Key="web/web.part.1")
    assert "its bundle is incomplete: verify bundle web: look at" in warnings()
    client.delete_object(Bucket=BUCKET, Key="web/web.manifest.xml")
    assert "its bundle is missing: get s3://images/web/web.manifest.xml" in warnings()


def test_tags_are_set_and_removed(server: CloudServer) -> None:
    image_id = register(server, "web")
    done(server, "tag", image_id, "Name=a=b", "--region", REGION, "team=")
    query = ("--query", "Images[0].Tags[].[Key,Value]")
    assert sorted(facts_of(server, "show", image_id, *query)) == [["Name", "a=b"], ["team", ""]]
    done(server, "tag", "--remove", "team", image_id, "Name=c", "--remove", "gone")
    assert facts_of(server, "show", image_id, *query) == [["Name", "c"]]


def test_a_dry_run_changes_nothing_and_prints_what_would_be_sent(server: CloudServer) -> None:
    image_id = register(server, "web")
    outcome = done(server, "tag", image_id, "stage=live", "--remove", "team", "-n")
    assert outcome.text.splitlines() == [
        f'CreateTags in {REGION}: Resources=["{image_id}"], '
        'Tags=[{"Key": "stage", "Value": "live"}]',
        f'DeleteTags in {REGION}: Resources=["{image_id}"], Tags=[{{"Key": "team"}}]',
    ]
    facts = facts_of(server, "share", image_id, "--public", "--account", ACCOUNT, "--dry-run")
    added = {"Add": [{"UserId": ACCOUNT}, {"Group": "all"}]}
    assert facts["dry_run"] is True
    assert facts["calls"] == [
        {
            "operation": "ModifyImageAttribute",
            "region": REGION,
            "parameters": {"ImageId": image_id, "LaunchPermission": added},
        }
    ]
    done(server, "disable", image_id, "--dry-run")
    assert shared_with(server, image_id) == []
    image = facts_of(server, "show", image_id)["Images"][0]
    assert (image["State"], image.get("Tags", [])) == ("available", [])


def test_a_dry_run_that_would_be_refused(server: CloudServer) -> None:
    answer(server, IMAGE, refused("UnauthorizedOperation"), status="403 Forbidden")
    outcome = ami(server, "protect", "ami-1", "--dry-run", "--quiet")
    check_refused(outcome, 6, r"would protect AMI ami-1: .*UnauthorizedOperation.*IAM policy")
    answer(server, IMAGE, replied("ResetImageAttribute"))
    outcome = ami(server, "share", "ami-1", "--reset", "--dry-run", "--quiet")
    check_refused(outcome, 6, "the server knows no DryRun")


IN_A_YEAR = (datetime.now(UTC) + timedelta(days=365)).date().isoformat()


@pytest.mark.parametrize(
    ("words", "operation", "parameters", "word"),
    [
        (("share", "--reset"), "ResetImageAttribute", {"Attribute": "launchPermission"}, ""),
        (
            ("deprecate", "--at", f"{IN_A_YEAR}T12:00+02:00"),
            "EnableImageDeprecation",
            {"DeprecateAt": f"{IN_A_YEAR}T10:00:00Z"},
            "True",
        ),
        (("deprecate", "--cancel"), "DisableImageDeprecation", {}, "True"),
        (("protect",), "EnableImageDeregistrationProtection", {"WithCooldown": False}, "true"),
        (
            ("protect", "--cooldown"),
            "EnableImageDeregistrationProtection",
            {"WithCooldown": True},
            "true",
        ),
        (("protect", "--off"), "DisableImageDeregistrationProtection", {}, "true"),
    ],
)
def test_calls_that_the_server_lacks(
    server: CloudServer,
    words: tuple[str, ...],
    operation: str,
    parameters: dict[str, object],
    word: str,
) -> None:
    answer(server, IMAGE, replied(operation))
    facts = facts_of(server, words[0], "ami-1", *words[1:])
    (call,) = facts["calls"]
    assert call["operation"] == operation
    assert call["parameters"] == {"ImageId": "ami-1", **parameters}
    assert facts["replies"] == [word]


def test_the_cooldown_is_told(server: CloudServer) -> None:
    state = "<deregistrationProtection>enabled-with-cooldown</deregistrationProtection>"
    answer(server, described(("ami-1", state)), replied("DisableImageDeregistrationProtection"))
    outcome = done(server, "protect", "ami-1", "--off")
    assert "stays protected for 24 hours" in outcome.errors


def test_disable_and_enable(server: CloudServer) -> None:
    image_id = register(server, "web")
    done(server, "share", image_id, "--account", ACCOUNT)
    outcome = done(server, "disable", image_id)
    assert outcome.text == f"{image_id}\n"
    assert f"EC2 forgets who may launch it: account {ACCOUNT}; once" in outcome.errors
    assert facts_of(server, "show", image_id)["Images"][0]["State"] == "disabled"
    again = facts_of(server, "disable", image_id)
    assert again["calls"] == []
    done(server, "enable", image_id)
    assert facts_of(server, "show", image_id)["Images"][0]["State"] == "available"
    assert "it is so already" in done(server, "enable", image_id).errors


def test_a_lost_reply_is_no_failure(server: CloudServer) -> None:
    """EC2 may refuse to disable what it has just disabled."""
    off = described(("ami-1", "<imageState>disabled</imageState>"))
    replies = [IMAGE, replied("DescribeImageAttribute"), "", refused("IncorrectState"), off]
    count = 0

    def intercept(request: Request) -> Reply | None:
        nonlocal count
        count += 1
        body = replies[count - 1].encode()
        if not body:  # the reply breaks off
            return Reply(status="200 OK", body=b"<Disable", length=100)
        return Reply(status="400 Bad Request" if b"<Errors>" in body else "200 OK", body=body)

    server.intercept = intercept
    assert done(server, "disable", "ami-1", "--quiet").errors == ""
    assert count == len(replies)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("share", "ami-1"), "expected --account, --organization"),
        (("share", "ami-1", "--reset", "--public"), "or else --reset or --list"),
        (("share", "ami-1", "--account", "12345"), "--account '12345': expected the 12 digits"),
        (("share", "ami-1", "--account", "\uff11" * 12), "expected the 12 digits"),
        (("share", "ami-1", "--organization", "o-abcdefghij"), "expected an ARN such as arn:"),
        (("share", "ami-1", "--organizational-unit", ORGANIZATION), "ARN such as .*ou-abcd"),
        (("tag", "ami-1"), "expected KEY=VALUE or --remove KEY"),
        (("tag", "ami-1", "a"), "ami tag 'a': expected KEY=VALUE"),
        (("tag", "ami-1", "AWS:a=b"), "AWS's own"),
        (("tag", "ami-1", "a=b", "--remove", "a"), "to be set and to be removed"),
        (("tag", "ami-1", "--remove", ""), "--remove '': expected the key of a tag"),
        (("deprecate", "ami-1"), "one of the arguments --at --cancel is required"),
        (("deprecate", "ami-1", "--at", "soon"), "--at 'soon': expected a date"),
        (("deprecate", "ami-1", "--at", "2020-01-31"), "got one that is past"),
        (("deprecate", "ami-1", "--at", "2999-01-31"), "within 10 years"),
        (("protect", "ami-1", "--off", "--cooldown"), "not allowed with argument"),
        (("disable", "\udcff"), "expected UTF-8"),
        (("show", "\udcff"), "expected UTF-8"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_asked(
    words: tuple[str, ...], reason: str
) -> None:
    check_refused(run_here("ami", *words, "--region", REGION), 2, reason)


def test_a_public_ami_is_deprecated_within_two_years(server: CloudServer) -> None:
    more = "<isPublic>true</isPublic><creationDate>2020-01-31T10:00:00.000Z</creationDate>"
    answer(server, described(("ami-1", more)))
    outcome = ami(server, "deprecate", "ami-1", "--at", IN_A_YEAR)
    check_refused(outcome, 2, "within 2 years from the creation of AMI ami-1")


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "remedy"),
    [
        (("share", "--reset"), "AuthFailure", 6, "only the AMI's owner may"),
        (("tag", "a=b"), "TagLimitExceeded", 6, "at most 50 tags"),
        (("enable",), "IncorrectState", 6, "wait until it is in the state"),
        (("protect", "--off"), "OptInRequired", 6, "subscribe the account"),
    ],
)
def test_what_this_ec2_never_refuses_is_one_line_with_a_remedy(
    server: CloudServer, words: tuple[str, ...], code: str, exit_code: int, remedy: str
) -> None:
    off = described(("ami-1", "<imageState>disabled</imageState>"))
    looks = [off] if words[0] == "enable" else []
    replies = [off, refused(code), *looks]

    def intercept(request: Request) -> Reply | None:
        body = replies.pop(0).encode()
        return Reply(status="400 Bad Request" if b"<Errors>" in body else "200 OK", body=body)

    server.intercept = intercept
    outcome = ami(server, words[0], "ami-1", *words[1:], "--quiet")
    check_refused(outcome, exit_code, rf"AMI ami-1.*\({code}\); .*{remedy}")
    assert replies == []
