"""An AMI's life through the command line: published, copied, launched, deregistered."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto.ec2.models import ec2_backends

from bundler.embedded.ec2 import Ec2Settings
from tests.support.bundles import EC2_CERT, EC2_KEY, USER_CERT, USER_KEY, load_key
from tests.support.cloud import (
    ACCOUNT_ID,
    REGION,
    CloudServer,
    Reply,
    Request,
    cloud_server,
    make_bucket,
    open_cloud,
    refuse_references,
    s3_client,
)
from tests.support.ebs_backed import run_ebs_instance
from tests.support.images import random_bytes
from tests.support.in_process import run_here
from tests.support.stored import stored_objects
from tests.support.tools import Outcome, check_refused, cli_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ELSEWHERE = "us-west-2"
GRANTEE = "111122223333"
USAGE = 2

SETTINGS = Ec2Settings(private_key=load_key(EC2_KEY))
"""EC2 that opens what it launches, with its own key."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, settings=SETTINGS) as running:
        make_bucket(running, "images", acl="aws-exec-read")
        refuse_references(running, "InvalidAction")
        yield running


@pytest.fixture
def ec2(server: CloudServer) -> "EC2Client":
    return open_cloud(server).ec2()


def run(server: CloudServer, *words: str | Path, region: str = REGION) -> Outcome:
    options = ("--endpoint-url", server.url, "--region", region)
    return run_here(*words, *options, environment=cli_environment(**server.credentials))


def get_id(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.errors
    return outcome.text.strip()


def publish(server: CloudServer, tmp_path: Path) -> str:
    image = tmp_path / "root.img"
    image.write_bytes(random_bytes(100_000, 1))
    keys: list[str | Path] = ["--key", USER_KEY, "--cert", USER_CERT, "--ec2-cert", EC2_CERT]
    words: list[str | Path] = ["publish", image, "s3://images/web", "--name", "web"]
    words += ["--state-dir", tmp_path / "state", "--account", ACCOUNT_ID]
    return get_id(run(server, *words, *keys))


def owned(server: CloudServer, region: str = REGION) -> list[str]:
    images = open_cloud(server, region=region).ec2().describe_images(Owners=["self"])["Images"]
    return [image["ImageId"] for image in images]


def leftovers(server: CloudServer) -> list[str]:
    """All that is still there, in S3 and in both regions of EC2."""
    client = s3_client(server)
    found = []
    for bucket in client.list_buckets()["Buckets"]:
        found += [f"s3 {name}" for name in stored_objects(server, bucket["Name"], "")]
        uploads = client.list_multipart_uploads(Bucket=bucket["Name"]).get("Uploads", [])
        found += [f"upload {upload['Key']}" for upload in uploads]
    for region in (REGION, ELSEWHERE):
        there = open_cloud(server, region=region).ec2()
        found += owned(server, region)
        found += snapshots(there)
        found += [volume["VolumeId"] for volume in there.describe_volumes()["Volumes"]]
        found += [
            instance["InstanceId"]
            for reservation in there.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]
    return found


def check_listed_shown_and_shared(server: CloudServer, image_id: str, root: str) -> None:
    """What of an AMI's life leaves no trace but in EC2."""
    listed = run(server, "ami", "list", "--root-device-type", root, "--ids")
    assert get_id(listed) == image_id
    assert get_id(run(server, "ami", "share", image_id, "--account", GRANTEE)) == image_id
    shown = run(server, "ami", "show", image_id, "--json")
    assert shown.code == 0, shown.errors
    facts = json.loads(shown.text)
    assert facts["Images"][0]["ImageId"] == image_id
    assert facts["launch_permissions"] == [{"kind": "account", "who": GRANTEE}]
    if root == "s3":
        bundle = facts["bundle"]
        assert (bundle["state"], bundle["readable_by"]) == ("complete", "ec2")
        assert bundle["proven_part_count"] == bundle["part_count"] == 1
    else:
        assert facts["bundle"] is None


def test_the_life_of_an_ami(server: CloudServer, ec2: "EC2Client", tmp_path: Path) -> None:
    image_id = publish(server, tmp_path)
    check_listed_shown_and_shared(server, image_id, "s3")
    copied = run(server, "ami", "copy", image_id, "--to-region", ELSEWHERE, "--json")
    facts = json.loads(copied.text)
    assert (facts["region"], facts["state"], facts["name"]) == (ELSEWHERE, "available", "web")
    assert owned(server, ELSEWHERE) == [facts["image_id"]]
    stored = [name.rpartition("/")[2] for name in leftovers(server) if name.startswith("s3 ")]
    assert sorted(stored) == sorted(2 * ["root.img.manifest.xml", "root.img.part.0"])

    launch = ("ami", "launch", image_id, "--instance-type")
    refused = run(server, *launch, "m5.large")
    check_refused(refused, USAGE, r"m5\.large does not boot S3-backed AMIs .*: .*, m3\.medium")
    # Not waited for with a pause of seconds, but for the very root volume.
    more = ("--tag", "a=b", "--count", "1", "--no-wait")
    instance_id = get_id(run(server, *launch, "m3.medium", *more))
    root = server.ec2.root_volume(instance_id)
    assert root.sha256 == sha256((tmp_path / "root.img").read_bytes()).hexdigest()
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    (instance,) = reservation["Instances"]
    assert (instance["ImageId"], instance["State"]["Name"]) == (image_id, "running")
    assert instance["Tags"] == [{"Key": "a", "Value": "b"}]

    end = ("ami", "deregister", image_id, "--delete-bundle")
    check_refused(run(server, *end), USAGE, "no terminal to ask on")
    check_refused(run(server, *end, "--yes"), USAGE, f"needed by instance/{instance_id}; --force")
    ec2.terminate_instances(InstanceIds=[instance_id])
    plan = run(server, *end, "--dry-run")
    assert plan.code == 0, plan.errors
    assert plan.text.splitlines()[:2] == [
        f'DeregisterImage in {REGION}: ImageId="{image_id}"',
        "DeleteObject: s3://images/web/root.img.manifest.xml",
    ]
    assert (owned(server), len(stored_objects(server, "images", "web/"))) == ([image_id], 2)

    assert get_id(run(server, *end, "--yes")) == image_id
    other = ("ami", "deregister", facts["image_id"], "--delete-bundle", "--yes")
    assert get_id(run(server, *other, region=ELSEWHERE)) == facts["image_id"]
    assert leftovers(server) == []
    check_refused(run(server, *end, "--yes"), 6, f"there is no such AMI in {REGION}")


def snapshots(ec2: "EC2Client") -> list[str]:
    found = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return [snapshot["SnapshotId"] for snapshot in found]


def test_the_life_of_an_instances_ami(server: CloudServer, ec2: "EC2Client") -> None:
    instance_id = run_ebs_instance(ec2)
    image_id = get_id(run(server, "ami", "create", instance_id, "--name", "copy of it"))
    check_listed_shown_and_shared(server, image_id, "ebs")
    copied = get_id(run(server, "ami", "copy", image_id, "--to-region", ELSEWHERE))
    assert (owned(server), owned(server, ELSEWHERE)) == ([image_id], [copied])
    launched = get_id(run(server, "ami", "launch", image_id, "--instance-type", "m5.large"))
    end = ("ami", "deregister", image_id, "--yes")
    check_refused(run(server, *end, "--delete-bundle"), USAGE, "it is EBS-backed")
    check_refused(run(server, *end, "--delete-snapshots"), USAGE, f"instance/{launched}")
    ec2.terminate_instances(InstanceIds=[instance_id, launched])
    (own,) = snapshots(ec2)
    done = run(server, *end, "--delete-snapshots", "--json")
    assert done.code == 0, done.errors
    assert json.loads(done.text)["deleted_snapshots"] == [own]
    there = ("ami", "deregister", copied, "--delete-snapshots", "--yes")
    assert get_id(run(server, *there, region=ELSEWHERE)) == copied
    assert leftovers(server) == []


def test_volumes_are_snapshotted_first(server: CloudServer, ec2: "EC2Client") -> None:
    instance_id = run_ebs_instance(ec2)
    words = ("ami", "create", instance_id, "--name", "copy of it", "--snapshot-first")
    plan = run(server, *words, "--dry-run")
    assert plan.code == 0, plan.errors
    calls = [line.split(" in ")[0] for line in plan.text.splitlines()]
    assert calls == ["CreateSnapshots", "CreateImage"]
    wrong = '{"DeviceName": "/dev/sdf", "Ebs": {"Size": 1}}'
    malformed = run(server, *words, "--block-device-mappings", wrong)
    check_refused(malformed, USAGE, "create 'copy of it': Unknown parameter in .* \"Size\"")
    server.ec2.settings = replace(server.ec2.settings, denied=frozenset(("CreateImage",)))
    check_refused(run(server, *words), 6, "would CreateImage: .* must allow ec2:CreateImage")
    server.ec2.settings = replace(server.ec2.settings, denied=frozenset())
    assert snapshots(ec2) == []
    outcome = run(server, *words, "--json")
    assert outcome.code == 0, outcome.errors
    facts = json.loads(outcome.text)
    image_id, before = facts["image_id"], facts["snapshots_before"]
    assert (facts["state"], len(before)) == ("available", 1)
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    (own,) = [item["Ebs"]["SnapshotId"] for item in image["BlockDeviceMappings"]]
    assert set(snapshots(ec2)) == {own, *before}
    ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData={"ImageId": image_id})
    done = run(server, "ami", "deregister", image_id, "--yes", "--delete-snapshots", "--force")
    assert get_id(done) == image_id
    assert f"{image_id} is needed by launch-template/" in done.errors
    assert (owned(server), snapshots(ec2)) == ([], before)


def test_the_name_of_another_instances_ami(server: CloudServer, ec2: "EC2Client") -> None:
    instance_id, other = run_ebs_instance(ec2), run_ebs_instance(ec2)
    words = ("--name", "web", "--snapshot-first")
    image_id = get_id(run(server, "ami", "create", other, "--name", "web"))
    refused = run(server, "ami", "create", instance_id, *words)
    check_refused(refused, 6, f"expected a free name, got one that {image_id} has")
    again = run(server, "ami", "create", other, *words)
    assert get_id(again) == image_id
    assert f"was made of {other} already" in again.errors
    assert (owned(server), len(snapshots(ec2))) == ([image_id], 1)
    ec2.terminate_instances(InstanceIds=[instance_id])
    ended = run(server, "ami", "create", instance_id, "--name", "web2")
    check_refused(ended, 6, "running or stopped, got terminated")
    check_refused(run(server, "ami", "create", "i-12345678", *words), 6, "no such instance in")


def test_a_bundle_that_another_ami_needs(
    server: CloudServer, ec2: "EC2Client", tmp_path: Path
) -> None:
    image_id = publish(server, tmp_path)
    location = "images/web/root.img.manifest.xml"
    other = ec2.register_image(Name="other", ImageLocation=location)["ImageId"]
    end = ("ami", "deregister", image_id, "--yes")
    refused = run(server, *end, "--delete-bundle")
    check_refused(refused, USAGE, f"other AMIs are registered from s3://{location}: {other}")
    check_refused(run(server, *end, "--delete-snapshots"), USAGE, "it is S3-backed")
    done = run(server, *end)
    assert get_id(done) == image_id
    line = f"to register it again: ami-bundler ami register s3://{location} --name web --region"
    assert line in done.errors
    assert len(stored_objects(server, "images", "web/")) == 2
    assert owned(server) == [other]


def test_an_ami_that_is_not_available(server: CloudServer, ec2: "EC2Client") -> None:
    instance_id = run_ebs_instance(ec2)
    image_id = ec2.create_image(InstanceId=instance_id, Name="web")["ImageId"]
    ami = ec2_backends[ACCOUNT_ID][REGION].amis[image_id]
    ami.state = "failed"
    launch = run(server, "ami", "launch", image_id, "--instance-type", "m5.large")
    check_refused(launch, 6, "expected an AMI that is available, got failed")
    ami.state = "pending"
    copy = run(server, "ami", "copy", image_id, "--no-wait")
    check_refused(copy, 6, "expected an AMI that is available, got pending")
    late = run(server, "ami", "copy", image_id, "--timeout", "0.01")
    assert late.code == 7
    assert f"wait for AMI {image_id}: it is needed, but after 0.01 seconds" in late.errors
    assert owned(server) == [image_id]


def test_what_is_protected_stays(server: CloudServer, ec2: "EC2Client", tmp_path: Path) -> None:
    image_id = publish(server, tmp_path)
    ami: Any = ec2_backends[ACCOUNT_ID][REGION].amis[image_id]
    ami.deregistration_protection = "enabled-with-cooldown"
    refused = run(server, "ami", "deregister", image_id, "--yes", "--delete-bundle", "--force")
    told = r"protected .*\(enabled-with-cooldown\); .* protect ami-\w+ --off ends that, 24 hours"
    check_refused(refused, 6, told)
    location = "s3://images/web/root.img.manifest.xml"
    ami.image_location = "images/old.manifest.xml"
    words = ("ami", "register", location, "--name", "web", "--replace")
    check_refused(run(server, *words), 6, f"{image_id} has the name, and only an S3-backed AMI")
    ec2.create_image(InstanceId=run_ebs_instance(ec2), Name="web 2")
    words = ("ami", "register", location, "--name", "web 2", "--replace")
    check_refused(run(server, *words), 6, "only an S3-backed AMI")
    assert len(owned(server)) == 2
    assert len(stored_objects(server, "images", "web/")) == 2


def test_auto_scaling_needs_it(server: CloudServer, ec2: "EC2Client", tmp_path: Path) -> None:
    image_id = publish(server, tmp_path)
    cloud = open_cloud(server)
    scaling, zones = cloud.autoscaling(), [f"{REGION}a"]
    size: Any = {"MinSize": 0, "MaxSize": 0, "AvailabilityZones": zones}
    for name, used in (("mine", image_id), ("other", "ami-12345678")):
        scaling.create_launch_configuration(
            LaunchConfigurationName=name, ImageId=used, InstanceType="m3.medium"
        )
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=f"old-{name}", LaunchConfigurationName=name, **size
        )
    template = ec2.create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": image_id}
    )["LaunchTemplate"]["LaunchTemplateId"]
    specification: Any = {"LaunchTemplateSpecification": {"LaunchTemplateId": template}}
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="mixed", MixedInstancesPolicy={"LaunchTemplate": specification}, **size
    )
    end = ("ami", "deregister", image_id, "--yes")
    refused = run(server, *end)
    told = (
        rf"needed by launch-template/{template} \(version 1\), launch-configuration/mine, "
        rf"auto-scaling-group/old-mine \(by mine\), auto-scaling-group/mixed \(by {template}\)"
    )
    check_refused(refused, USAGE, told)

    def refuse(code: str) -> Callable[[Request], Reply | None]:
        error = f"<Error><Code>{code}</Code><Message>No.</Message></Error>"
        body = f"<ErrorResponse>{error}</ErrorResponse>".encode()
        reply = Reply(status="403 Forbidden", body=body)
        return lambda one: reply if "/autoscaling/" in one.headers["authorization"] else None

    server.intercept = refuse("AccessDenied")
    denied = r"look for launch configurations .*\(AccessDenied\); .* must allow it; --force dereg"
    check_refused(run(server, *end), 6, denied)
    server.intercept = refuse("InvalidAction")
    check_refused(run(server, *end), USAGE, rf"{template} \(version 1\); --force")
    server.intercept = refuse("AccessDenied")
    forced = run(server, *end, "--force")
    assert get_id(forced) == image_id
    assert re.search(rf"what needs {image_id} is not known: {denied[:30]}", forced.errors)


def test_an_ec2_that_does_not_tell_who_needs_it(server: CloudServer, tmp_path: Path) -> None:
    image_id = publish(server, tmp_path)
    refuse_references(server, "AuthFailure")
    end = ("ami", "deregister", image_id, "--yes")
    check_refused(run(server, *end), 6, "--force deregisters it without knowing what needs it")
    forced = run(server, *end, "--force")
    assert get_id(forced) == image_id
    assert f"what needs {image_id} is not known" in forced.errors


def test_copies_that_ec2_refuses(server: CloudServer, tmp_path: Path) -> None:
    image_id = publish(server, tmp_path)
    for more, words in (
        (("--to-region", "us-gov-west-1"), "of the partition aws-us-gov.*ami-bundler migrate"),
        (("--encrypted",), "no snapshots that could be encrypted"),
    ):
        check_refused(run(server, "ami", "copy", image_id, *more), USAGE, words)
    assert owned(server) == [image_id]
