"""Requests that change AMIs, checked against EC2's service model, and what its replies mean."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.image_changes import (
    copy_call,
    create_call,
    deregister_image,
    find_image,
    find_image_from,
)
from bundler.aws.image_uses import find_uses
from bundler.aws.instances import describe_instances, launch_call, launch_instances
from bundler.aws.retry import RetryPolicy
from bundler.aws.session import Cloud
from bundler.aws.snapshots import (
    create_snapshots,
    delete_snapshot,
    describe_snapshots,
    snapshots_call,
)
from bundler.aws.transport import Transport, TransportSettings
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.model.device_mapping import DeviceMapping
from bundler.model.ec2_call import Ec2Call
from bundler.model.image_change import CopySpec, CreateSpec, LaunchSpec
from tests.support.cloud import set_cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

AMI = "ami-0123456789abcdef0"
INSTANCE = "i-0123456789abcdef0"
MINE = "mine"
TAGS = (("a", "b"),)
PAIRS = [{"Key": "a", "Value": "b"}]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "EC2Client":
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1").ec2()


@pytest.fixture
def stub(client: "EC2Client") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def api(client: "EC2Client", stub: Stubber) -> Ec2Api:
    policy = RetryPolicy(max_attempts=3, first_delay=0.001)
    return Ec2Api(client, Transport(TransportSettings(policy=policy)))


def spec(**more: Any) -> CopySpec:
    plain: dict[str, Any] = {
        "image_id": AMI,
        "is_s3_backed": False,
        "source_region": "eu-west-1",
        "region": "us-west-2",
        "name": "web",
    }
    return CopySpec(**{**plain, **more})


def test_a_copy_sends_all_that_is_given(api: Ec2Api, stub: Stubber) -> None:
    everything = spec(
        description="A copy.",
        is_encrypted=True,
        kms_key_id="alias/web",
        copies_tags=True,
        tags=TAGS,
        client_token=MINE,
    )
    expected = {
        "Name": "web",
        "SourceImageId": AMI,
        "SourceRegion": "eu-west-1",
        "Description": "A copy.",
        "Encrypted": True,
        "KmsKeyId": "alias/web",
        "CopyImageTags": True,
        "TagSpecifications": [
            {"ResourceType": "image", "Tags": PAIRS},
            {"ResourceType": "snapshot", "Tags": PAIRS},
        ],
        "ClientToken": MINE,
    }
    stub.add_response("copy_image", {"ImageId": "ami-2"}, expected)
    assert api.send(copy_call(everything), "copy")["ImageId"] == "ami-2"


def test_a_token_stands_for_all_the_options() -> None:
    plain = copy_call(spec()).parameters["ClientToken"]
    assert plain == copy_call(spec()).parameters["ClientToken"]
    assert len(str(plain)) == 64
    others = (spec(name="web2"), spec(region="eu-west-2"), spec(description="x"), spec(tags=TAGS))
    tokens = {copy_call(other).parameters["ClientToken"] for other in others}
    assert len(tokens - {plain}) == len(others)


def test_a_copy_of_an_s3_backed_ami_tags_no_snapshots() -> None:
    call = copy_call(spec(tags=TAGS, is_s3_backed=True))
    assert call.parameters["TagSpecifications"] == [{"ResourceType": "image", "Tags": PAIRS}]
    with pytest.raises(UsageError, match="--kms-key-id needs --encrypted"):
        spec(kms_key_id="alias/web")
    with pytest.raises(UsageError, match="at most 64 ASCII characters"):
        spec(client_token="x" * 65)


def test_an_instance_is_imaged_with_all_that_is_given(api: Ec2Api, stub: Stubber) -> None:
    everything = CreateSpec(
        instance_id=INSTANCE,
        name="web",
        description="Of it.",
        no_reboot=True,
        mappings=(
            DeviceMapping(device="/dev/sdf", is_left_out=True),
            DeviceMapping(device="/dev/sdg", ebs={"VolumeSize": 8}),
        ),
        tags=TAGS,
    )
    expected = {
        "InstanceId": INSTANCE,
        "Name": "web",
        "Description": "Of it.",
        "NoReboot": True,
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdf", "NoDevice": ""},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 8}},
        ],
        "TagSpecifications": [
            {"ResourceType": "image", "Tags": PAIRS},
            {"ResourceType": "snapshot", "Tags": PAIRS},
        ],
    }
    stub.add_response("create_image", {"ImageId": AMI}, expected)
    api.send(create_call(everything, "eu-west-1"), "create")


def test_a_launch_sends_all_that_is_given_and_the_same_token_again(
    api: Ec2Api, stub: Stubber
) -> None:
    everything = LaunchSpec(
        image_id=AMI,
        instance_type="m3.medium",
        count=2,
        key_name="mine",
        subnet_id="subnet-1",
        security_group_ids=("sg-1", "sg-2"),
        mappings=(DeviceMapping(device="/dev/sdb", virtual="ephemeral0"),),
        tags=TAGS,
        client_token=MINE,
    )
    expected = {
        "ImageId": AMI,
        "InstanceType": "m3.medium",
        "MinCount": 2,
        "MaxCount": 2,
        "KeyName": "mine",
        "SubnetId": "subnet-1",
        "SecurityGroupIds": ["sg-1", "sg-2"],
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": PAIRS},
            {"ResourceType": "volume", "Tags": PAIRS},
        ],
        "ClientToken": MINE,
    }
    assert launch_call(everything, "eu-west-1").parameters == expected
    stub.add_client_error("run_instances", "RequestLimitExceeded", "Slow.", 503, None, expected)
    reply = {"Instances": [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]}
    stub.add_response("run_instances", reply, expected)
    assert launch_instances(api, everything) == ("i-1", "i-2")


def test_instances_that_ec2_does_not_know_yet(api: Ec2Api, stub: Stubber) -> None:
    expected = {"Filters": [{"Name": "instance-id", "Values": ["i-1", "i-2"]}]}
    known = {
        "InstanceId": "i-1",
        "State": {"Name": "terminated"},
        "StateReason": {"Message": "Server.InternalError"},
    }
    stub.add_response("describe_instances", {"Reservations": [{"Instances": [known]}]}, expected)
    (one,) = describe_instances(api, ["i-1", "i-2"])
    assert (one.instance_id, one.state, one.state_reason) == (
        "i-1",
        "terminated",
        "Server.InternalError",
    )


# Dry runs

CALL = Ec2Call(operation="DeregisterImage", region="eu-west-1", parameters={"ImageId": AMI})


def test_a_dry_run_that_would_succeed(api: Ec2Api, stub: Stubber) -> None:
    asked = {"ImageId": AMI, "DryRun": True}
    stub.add_client_error("deregister_image", "DryRunOperation", "Yes.", 412, None, asked)
    api.dry_run(CALL, "would")


def test_a_dry_run_is_otherwise_the_error_it_would_be(api: Ec2Api, stub: Stubber) -> None:
    stub.add_client_error("deregister_image", "UnauthorizedOperation", "No.", 403)
    with pytest.raises(AwsRefusedError, match="IAM policy") as caught:
        api.dry_run(CALL, "would")
    assert caught.value.code == "UnauthorizedOperation"


def test_a_server_that_knows_no_dry_run(api: Ec2Api, stub: Stubber) -> None:
    stub.add_response("deregister_image", {"Return": True})
    with pytest.raises(AwsRefusedError, match="knows no DryRun: it may have been done"):
        api.dry_run(CALL, "would")


def test_parameters_are_the_operations(client: "EC2Client") -> None:
    call = Ec2Call(operation="DeregisterImage", region="eu-west-1", parameters={"Image": AMI})
    with pytest.raises(UsageError, match="Unknown parameter"):
        Ec2Api(client, Transport()).send(call, "deregister")


def test_words_that_are_no_text(api: Ec2Api) -> None:
    filters = [{"Name": "name", "Values": ["\udcff"]}]
    with pytest.raises(UsageError, match="look: expected UTF-8"):
        list(api.pages("DescribeImages", "Images", "look", Filters=filters))


@pytest.mark.parametrize(
    "code",
    [
        *("AuthFailure", "UnauthorizedOperation", "OperationNotPermitted", "OptInRequired"),
        *("RequestExpired", "InvalidSecurity.RequestHasExpired", "UnsupportedOperation"),
        *("InvalidManifest", "InaccessibleStorageLocation", "InvalidRegion", "InvalidRequest"),
        *("InvalidAMIName.Duplicate", "InvalidAMIName.Malformed", "InvalidKernelId.Malformed"),
        *("InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"),
        *("InvalidInstanceID.NotFound", "IncorrectState", "InvalidBlockDeviceMapping"),
        *("InvalidSnapshot.NotFound", "InvalidSnapshot.InUse", "InvalidParameterCombination"),
        *("ResourceLimitExceeded", "IdempotentParameterMismatch", "InvalidInstanceType"),
        *("InvalidKeyPair.NotFound", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound"),
        *("VPCIdNotSpecified", "VcpuLimitExceeded", "InstanceLimitExceeded"),
    ],
)
def test_what_a_user_can_cause_ends_in_one_line_with_a_remedy(
    api: Ec2Api, stub: Stubber, code: str
) -> None:
    stub.add_client_error("deregister_image", code, "It\nis so.", 400)
    with pytest.raises(AwsRefusedError) as caught:
        api.send(CALL, "deregister")
    line, remedy = str(caught.value).split("; ", 1)
    assert line == f"deregister: It is so ({code})"
    assert len(remedy) > 10
    assert "\n" not in remedy


# What goes


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"])
def test_an_ami_that_is_gone_is_deregistered(api: Ec2Api, stub: Stubber, code: str) -> None:
    stub.add_client_error("deregister_image", code, "Gone.", 400)
    assert deregister_image(api, AMI) == {}


def test_what_ec2_says_of_snapshots(api: Ec2Api, stub: Stubber) -> None:
    results = [
        {"SnapshotId": "snap-1", "ReturnCode": "success"},
        {"SnapshotId": "snap-2", "ReturnCode": "skipped"},
    ]
    asked = {"ImageId": AMI, "DeleteAssociatedSnapshots": True}
    stub.add_response("deregister_image", {"DeleteSnapshotResults": results}, asked)
    told = deregister_image(api, AMI, delete_snapshots=True)
    assert told == {"snap-1": "success", "snap-2": "skipped"}


def test_snapshots_that_are_in_use_or_gone(api: Ec2Api, stub: Stubber) -> None:
    stub.add_client_error("delete_snapshot", "InvalidSnapshot.InUse", "No.", 400)
    assert not delete_snapshot(api, "snap-1")
    stub.add_client_error("delete_snapshot", "InvalidSnapshot.NotFound", "No.", 400)
    assert delete_snapshot(api, "snap-1")
    stub.add_client_error("delete_snapshot", "UnauthorizedOperation", "No.", 403)
    with pytest.raises(AwsRefusedError, match="delete snapshot snap-1: No"):
        delete_snapshot(api, "snap-1")


# Snapshots without a client token

REQUEST = snapshots_call(INSTANCE, "eu-west-1", description="before", request_id="r1")
LOOKUP = {"Filters": [{"Name": "tag:ami-bundler:request", "Values": ["r1"]}]}
MADE = {"Snapshots": [{"SnapshotId": "snap-1"}]}


def test_snapshots_whose_reply_was_lost_are_not_made_twice(api: Ec2Api, stub: Stubber) -> None:
    stub.add_client_error("create_snapshots", "InternalError", "Oh.", 500, None, REQUEST.parameters)
    stub.add_response("describe_snapshots", MADE, LOOKUP)
    assert create_snapshots(api, REQUEST, "r1") == ("snap-1",)


def test_snapshots_that_were_not_made_are_made(api: Ec2Api, stub: Stubber) -> None:
    stub.add_client_error("create_snapshots", "InternalError", "Oh.", 500)
    stub.add_response("describe_snapshots", {"Snapshots": []}, LOOKUP)
    stub.add_response("create_snapshots", MADE, REQUEST.parameters)
    assert create_snapshots(api, REQUEST, "r1") == ("snap-1",)


def test_progress_of_snapshots(api: Ec2Api, stub: Stubber) -> None:
    items = [
        {"SnapshotId": "snap-1", "State": "pending", "Progress": "42%"},
        {"SnapshotId": "snap-2", "State": "error", "StateMessage": "KMS key", "Progress": ""},
    ]
    stub.add_response("describe_snapshots", {"Snapshots": items})
    one, two = describe_snapshots(api, ["snap-1", "snap-2"])
    assert (one.state, one.progress, two.state, two.message) == ("pending", 42, "error", "KMS key")
    assert describe_snapshots(api, []) == ()


# Who needs an AMI


def test_references_are_asked_for_in_full_page_by_page(api: Ec2Api, stub: Stubber) -> None:
    first = {
        "ImageReferences": [{"Arn": f"arn:aws:ec2:eu-west-1:123456789012:instance/{INSTANCE}"}],
        "NextToken": "more",
    }
    second = {"ImageReferences": [{"Arn": "arn:aws:ssm:eu-west-1:123456789012:parameter/a/b"}]}
    asked = {
        "ImageIds": [AMI],
        "IncludeAllResourceTypes": True,
        "ResourceTypes": [
            {
                "ResourceType": "ec2:Instance",
                "ResourceTypeOptions": [
                    {
                        "OptionName": "state-name",
                        "OptionValues": ["pending", "running", "stopping", "stopped"],
                    }
                ],
            },
            {
                "ResourceType": "ec2:LaunchTemplate",
                "ResourceTypeOptions": [{"OptionName": "version-depth", "OptionValues": ["10000"]}],
            },
        ],
    }
    stub.add_response("describe_image_references", first, asked)
    stub.add_response("describe_image_references", second, {**asked, "NextToken": "more"})
    assert find_uses(api, AMI) == (f"instance/{INSTANCE}", "parameter/a/b")


def test_where_references_may_not_be_asked_for_all_is_looked_through(
    api: Ec2Api, stub: Stubber
) -> None:
    stub.add_client_error("describe_image_references", "UnauthorizedOperation", "No.", 403)
    stub.add_response("describe_instances", {"Reservations": [{"Instances": []}]})
    templates = [{"LaunchTemplateId": "lt-1"}, {"LaunchTemplateId": "lt-2"}]
    stub.add_response("describe_launch_templates", {"LaunchTemplates": templates}, {})
    versions = [
        {"VersionNumber": number, "LaunchTemplateData": {"ImageId": image_id}}
        for number, image_id in ((3, AMI), (2, "ami-2"), (1, AMI))
    ]
    for template_id, found in (("lt-1", []), ("lt-2", versions)):
        stub.add_response(
            "describe_launch_template_versions",
            {"LaunchTemplateVersions": found},
            {"LaunchTemplateId": template_id},
        )
    assert find_uses(api, AMI) == ("launch-template/lt-2 (version 3, 1)",)


def test_a_failure_is_no_proof_that_nothing_needs_it(api: Ec2Api, stub: Stubber) -> None:
    stub.add_client_error("describe_image_references", "AuthFailure", "No.", 401)
    with pytest.raises(AwsRefusedError, match="No"):
        find_uses(api, AMI)


# What is known of an AMI


def test_an_ami_is_read_as_it_was_registered(api: Ec2Api, stub: Stubber) -> None:
    image = {
        "ImageId": AMI,
        "Name": "web",
        "State": "available",
        "Architecture": "x86_64",
        "VirtualizationType": "hvm",
        "RootDeviceType": "instance-store",
        "RootDeviceName": "/dev/sda1",
        "ImageLocation": "/images/web.manifest.xml",
        "SriovNetSupport": "simple",
        "EnaSupport": True,
        "BootMode": "uefi",
        "ImdsSupport": "v2.0",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
        "DeregistrationProtection": "enabled-with-cooldown",
        "Tags": [*PAIRS, {"Key": "aws:x", "Value": "y"}],
    }
    asked = {"ImageIds": [AMI], "IncludeDisabled": True}
    stub.add_response("describe_images", {"Images": [image]}, asked)
    found = find_image(api, AMI)
    assert found is not None
    assert (found.is_s3_backed, found.is_protected) == (True, True)
    registration = found.registration()
    assert registration.location.url == "s3://images/web.manifest.xml"
    assert (registration.has_sriov, registration.has_ena, registration.boot_mode) == (
        True,
        True,
        "uefi",
    )
    assert (registration.needs_imds_v2, registration.tags) == (True, TAGS)
    assert [one.virtual for one in registration.mappings] == ["ephemeral0"]


def test_an_ami_of_another_instance_is_not_ours(api: Ec2Api, stub: Stubber) -> None:
    images = [{"ImageId": AMI, "Name": "web", "SourceInstanceId": INSTANCE}]
    for expected in (AMI, None):
        stub.add_response("describe_images", {"Images": images})
        found = find_image_from(api, "web", INSTANCE if expected else "i-1")
        assert (found and found.image_id) == expected


def test_pages_that_never_end(api: Ec2Api, stub: Stubber) -> None:
    page = {"Images": [], "NextToken": "same"}
    for _ in range(2):
        stub.add_response("describe_images", page)
    with pytest.raises(TransferError, match="does not tell how to go on"):
        find_image(api, AMI)
