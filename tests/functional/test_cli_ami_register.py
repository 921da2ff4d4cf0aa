"""ami register against S3 and EC2 over HTTP."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.cloud import (
    REGION,
    CloudServer,
    Reply,
    cloud_server,
    make_bucket,
    open_cloud,
    refuse_references,
    s3_client,
)
from tests.support.in_process import run_here
from tests.support.small_bundles import small_bundle
from tests.support.tools import Outcome, check_refused, cli_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

URL = "s3://images/web/a.manifest.xml"
OTHER_URL = "s3://images/web/b.manifest.xml"
FIRST = {
    "Name": "web",
    "ImageLocation": "images/web/a.manifest.xml",
    "Architecture": "x86_64",
    "VirtualizationType": "hvm",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        make_bucket(running, "images")
        refuse_references(running, "InvalidAction")
        client = s3_client(running)
        for name in ("a", "b"):
            for key, body in small_bundle(name, folder="web/").items():
                client.put_object(Bucket="images", Key=key, Body=body)
        yield running


@pytest.fixture
def ec2(server: CloudServer) -> "EC2Client":
    return open_cloud(server).ec2()


def ami(server: CloudServer, *words: str) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", REGION)
    return run_here("ami", *words, *options, environment=cli_environment(**server.credentials))


def register(server: CloudServer, *more: str, url: str = URL) -> Outcome:
    return ami(server, "register", url, "--name", "web", *more)


def test_all_that_is_given_is_registered(server: CloudServer, ec2: "EC2Client") -> None:
    outcome = register(
        server,
        *("--description", "A server.", "--arch", "arm64", "--root-device-name", "/dev/xvda"),
        *("-B", "ephemeral0=sdb", "--sriov-net-support", "simple", "--ena-support"),
        *("--block-device-mappings", "DeviceName=/dev/sdc,VirtualName=ephemeral1"),
        *(
            "--boot-mode",
            "uefi",
            "--imds-support",
            "v2.0",
            "--tag",
            "Key=team,Value=web",
            "--tag",
            "x=",
        ),
    )
    assert outcome.code == 0, outcome.errors
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert outcome.text == image["ImageId"] + "\n"
    assert server.registrations == [
        FIRST
        | {
            "Description": "A server.",
            "Architecture": "arm64",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
                {"DeviceName": "/dev/sdc", "VirtualName": "ephemeral1"},
            ],
            "SriovNetSupport": "simple",
            "EnaSupport": True,
            "BootMode": "uefi",
            "ImdsSupport": "v2.0",
            "TagSpecifications": [
                {
                    "ResourceType": "image",
                    "Tags": [{"Key": "team", "Value": "web"}, {"Key": "x", "Value": ""}],
                }
            ],
        }
    ]


def test_what_ec2_would_refuse_is_not_sent(server: CloudServer) -> None:
    for more, words in (
        (
            ("--block-device-mappings", '{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}'),
            r"/dev/sdf is an EBS volume.*ami launch --block-device-mappings",
        ),
        (("--timeout", "soon"), "expected seconds"),
        (("--regions", "us-west-2,"), "region ''"),
        (("--regions", "cn-north-1"), "of the partition aws-cn.*ami-bundler migrate"),
    ):
        check_refused(register(server, *more), 2, words)
    assert server.find("POST", "/") == []


def test_again_is_a_success_that_says_so(server: CloudServer) -> None:
    first = register(server)
    again = register(server, "--json")
    assert again.code == 0, again.errors
    facts = json.loads(again.text)
    assert (facts["image_id"], facts["was_registered"]) == (first.text.strip(), True)
    assert "is registered as 'web' already" in again.errors
    assert len(server.registrations) == 1
    other = register(server, url=OTHER_URL)
    check_refused(
        other, 6, rf"{first.text.strip()} of images/web/a\.manifest\.xml has; .*--replace"
    )
    assert len(server.registrations) == 1


def test_replacing(server: CloudServer, ec2: "EC2Client") -> None:
    old = register(server, "--tag", "a=b").text.strip()
    outcome = register(server, "--replace", url=OTHER_URL)
    assert outcome.code == 0, outcome.errors
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    assert (image["ImageId"], image["ImageLocation"], image["Name"]) == (
        outcome.text.strip(),
        "images/web/b.manifest.xml",
        "web",
    )
    names = [(one["Name"], "DryRun" in one) for one in server.registrations[1:]]
    trial = f"web replacing {old}"
    assert names == [(trial, True), (trial, False), ("web", False)]
    assert "its launch permissions are not taken over" in outcome.errors
    assert register(server, "--replace", url=OTHER_URL).text == outcome.text


def test_a_bundle_that_ec2_does_not_take_replaces_nothing(
    server: CloudServer, ec2: "EC2Client"
) -> None:
    old = register(server).text.strip()
    make_bucket(server, "west", region="us-west-2")
    body = small_bundle("a")["a.manifest.xml"]
    s3_client(server, region="us-west-2").put_object(Bucket="west", Key="a.manifest.xml", Body=body)
    refused = register(server, "--replace", url="s3://west/a.manifest.xml")
    assert refused.code == 6
    assert "(InvalidManifest); the bucket is in another region: register there" in refused.errors
    images = ec2.describe_images(Owners=["self"])["Images"]
    assert [image["ImageId"] for image in images] == [old]


def test_an_ami_in_use_is_replaced_by_force_alone(server: CloudServer, ec2: "EC2Client") -> None:
    old = register(server).text.strip()
    ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": old})
    refused = register(server, "--replace", url=OTHER_URL)
    check_refused(refused, 2, rf"{old} is needed by launch-template/lt-\w+ \(version 1\)")
    assert len(server.registrations) == 1
    assert register(server, "--replace", "--force", url=OTHER_URL).code == 0


def test_what_an_interrupted_replacement_left_goes(server: CloudServer, ec2: "EC2Client") -> None:
    for name in ("web replacing ami-1", "web replacing my ami-1"):
        ec2.register_image(Name=name, ImageLocation="images/web/a.manifest.xml")
    assert register(server, "--replace").code == 0
    names = {image["Name"] for image in ec2.describe_images(Owners=["self"])["Images"]}
    assert names == {"web", "web replacing my ami-1"}


def test_copies_in_other_regions(server: CloudServer) -> None:
    outcome = register(server, "--regions", "us-west-2,eu-central-1,us-west-2")
    assert outcome.code == 0, outcome.errors
    own, *lines = outcome.text.splitlines()
    assert [line.split()[1] for line in lines] == ["us-west-2", "eu-central-1"]
    for line in lines:
        image_id, region = line.split()
        there = open_cloud(server, region=region).ec2()
        (image,) = there.describe_images(ImageIds=[image_id])["Images"]
        assert (image["Name"], image["State"]) == ("web", "available")
    assert own not in outcome.text.splitlines()[1:]


def test_regions_where_the_name_is_taken_are_told_before_anything_is_changed(
    server: CloudServer,
) -> None:
    old = register(server, "--regions", "us-west-2").text.split()[0]
    for more, words in (
        (("--regions", "us-west-2"), r"--regions us-west-2: .*'web', got one that ami-\w+ has"),
        (("--regions", "us-west-9"), r"named 'web' in us-west-9: .*\(InvalidRegion\)"),
    ):
        check_refused(register(server, "--replace", *more, url=OTHER_URL), 6, words)
        check_refused(register(server, "--replace", "-n", *more, url=OTHER_URL), 6, words)
    assert len(server.registrations) == 1
    assert register(server, "--regions", "us-west-2").text.split()[0] == old


def test_a_copy_that_fails_tells_what_there_is(server: CloudServer) -> None:
    refusal = Reply(
        status="400 Bad Request",
        body=b"<Response><Errors><Error><Code>ResourceLimitExceeded</Code><Message>Too many."
        b"</Message></Error></Errors><RequestID>1</RequestID></Response>",
    )
    replies = iter((None, refusal))  # DescribeImages, CopyImage
    server.intercept = lambda request: (
        next(replies) if "/us-west-2/ec2/" in request.headers.get("authorization", "") else None
    )
    outcome = register(server, "--regions", "us-west-2,eu-central-1")
    assert (outcome.code, outcome.output) == (6, b"")
    words = rf"to us-west-2: Too many .*; there are ami-\w+ in {REGION}, ami-\w+ in eu-central-1"
    assert re.search(words, outcome.errors)


def test_a_dry_run_asks_and_changes_nothing(server: CloudServer, ec2: "EC2Client") -> None:
    plan = register(server, "--dry-run", "--json", "--tag", "a=b", "--regions", "us-west-2")
    assert plan.code == 0, plan.errors
    call, copy = json.loads(plan.text)["calls"]
    assert (copy["operation"], copy["region"], copy["asked"]) == ("CopyImage", "us-west-2", False)
    tags = [{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}]
    assert call == {
        "operation": "RegisterImage",
        "region": REGION,
        "parameters": {**FIRST, "TagSpecifications": tags},
        "asked": True,
    }
    assert ["DryRun" in one for one in server.registrations] == [True]
    assert ec2.describe_images(Owners=["self"])["Images"] == []


def test_the_undo_line_registers_the_same(server: CloudServer, ec2: "EC2Client") -> None:
    given = ("-B", "ephemeral0=/dev/sdb", "--description", "so 'tis")
    register(server, *given, "--root-device-name", "/dev/xvda")
    outcome = register(server, "--replace", url=OTHER_URL)
    (line,) = [line for line in outcome.errors.splitlines() if "to register it again: " in line]
    words = shlex.split(line.partition("to register it again: ")[2])
    assert words[:3] == ["ami-bundler", "ami", "register"]
    ec2.deregister_image(ImageId=outcome.text.strip())
    assert ami(server, *words[2:]).code == 0
    first, last = server.registrations[0], server.registrations[-1]
    assert first == {name: last[name] for name in first}
