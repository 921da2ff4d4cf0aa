"""What is asked of EC2 about AMIs, checked against the service's model: moto lacks much of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name
from botocore.stub import Stubber

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.images import find_image, find_images, read_launch_permissions
from bundler.aws.instances import describe_instances, launch_instances
from bundler.aws.retry import RetryPolicy
from bundler.aws.session import Cloud
from bundler.aws.snapshots import describe_snapshots
from bundler.aws.transport import Transport, TransportSettings
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.model.described_image import ImageFilter, ImageQuery
from bundler.model.ec2_call import Ec2Call
from bundler.model.image_change import LaunchSpec
from tests.support.cloud import set_cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

IMAGE = "ami-0123456789abcdef0"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "EC2Client":
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1").ec2()


@pytest.fixture
def api(client: "EC2Client") -> Ec2Api:
    policy = RetryPolicy(max_attempts=2, first_delay=0.001)
    return Ec2Api(client, Transport(TransportSettings(policy=policy)))


@pytest.fixture
def stub(client: "EC2Client") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def call(operation: str, **parameters: object) -> Ec2Call:
    return Ec2Call(operation=operation, region="eu-west-1", parameters=parameters)


def test_all_that_is_looked_for_is_asked_on_every_page(api: Ec2Api, stub: Stubber) -> None:
    request: dict[str, Any] = {
        "Owners": ["self", "amazon"],
        "ExecutableUsers": ["all"],
        "IncludeDeprecated": True,
        "IncludeDisabled": False,
        "MaxResults": 1000,
        "Filters": [{"Name": "name", "Values": ["a", "b"]}],
    }
    pages = ({"Images": [], "NextToken": "t"}, {"Images": [{"ImageId": IMAGE}]})
    stub.add_response("describe_images", pages[0], request)
    stub.add_response("describe_images", pages[1], {**request, "NextToken": "t"})
    query = ImageQuery(
        owners=("self", "amazon"),
        executable_by=("all",),
        filters=(ImageFilter(name="name", values=("a", "b")),),
        includes=frozenset(("deprecated",)),
    )
    assert [image.image_id for image in find_images(api, query)] == [IMAGE]


def test_no_owner_and_no_filter_are_not_asked_for(api: Ec2Api, stub: Stubber) -> None:
    request = {"IncludeDeprecated": False, "IncludeDisabled": True, "MaxResults": 1000}
    stub.add_response("describe_images", {"Images": []}, request)
    assert list(find_images(api, ImageQuery(includes=frozenset(("disabled",))))) == []


def test_describing_keeps_all_that_ec2_tells(api: Ec2Api, stub: Stubber) -> None:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    told: dict[str, Any] = {
        "ImageId": IMAGE,
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}],
        "ScanResults": {"FindingScanDate": moment},
    }
    request = {"ImageIds": [IMAGE], "IncludeDeprecated": True, "IncludeDisabled": True}
    stub.add_response("describe_images", {"Images": [told]}, request)
    image = find_image(api, IMAGE)
    assert image is not None
    assert image.facts == {**told, "ScanResults": {"FindingScanDate": "2026-01-31T00:00:00+00:00"}}


def test_launch_permissions_in_order(api: Ec2Api, stub: Stubber) -> None:
    organization = "arn:aws:organizations::123456789012:organization/o-abcdefghij"
    elements: list[dict[str, str]] = [
        {"Group": "all"},
        {"UserId": "222222222222"},
        {"OrganizationArn": organization},
        {"UserId": "111111111111"},
    ]
    stub.add_response(
        "describe_image_attribute",
        {"ImageId": IMAGE, "LaunchPermissions": elements},
        {"ImageId": IMAGE, "Attribute": "launchPermission"},
    )
    assert [one.describe() for one in read_launch_permissions(api, IMAGE)] == [
        "account 111111111111",
        "account 222222222222",
        f"organization {organization}",
        "group all",
    ]


CALLS = [
    call("ModifyImageAttribute", ImageId=IMAGE, LaunchPermission={"Add": [{"Group": "all"}]}),
    call("ResetImageAttribute", ImageId=IMAGE, Attribute="launchPermission"),
    call("CreateTags", Resources=[IMAGE], Tags=[{"Key": "a", "Value": ""}]),
    call("DeleteTags", Resources=[IMAGE], Tags=[{"Key": "a"}]),
    call("EnableImageDeprecation", ImageId=IMAGE, DeprecateAt="2027-01-31T00:00:00Z"),
    call("DisableImageDeprecation", ImageId=IMAGE),
    call("EnableImageDeregistrationProtection", ImageId=IMAGE, WithCooldown=True),
    call("DisableImageDeregistrationProtection", ImageId=IMAGE),
    call("DisableImage", ImageId=IMAGE),
    call("EnableImage", ImageId=IMAGE),
]


@pytest.mark.parametrize("one", CALLS, ids=[one.operation for one in CALLS])
def test_what_a_plan_says_is_sent_and_can_be_asked_about(
    api: Ec2Api, stub: Stubber, one: Ec2Call
) -> None:
    method = xform_name(one.operation)
    stub.add_response(method, {}, dict(one.parameters))
    assert not api.send(one, "change it").get("Return")
    parameters = {**one.parameters, "DryRun": True}
    stub.add_client_error(method, "DryRunOperation", expected_params=parameters)
    api.dry_run(one, "would change it")
    stub.add_client_error(method, "UnauthorizedOperation", expected_params=parameters)
    with pytest.raises(AwsRefusedError, match=r"would change it: .*UnauthorizedOperation"):
        api.dry_run(one, "would change it")


def test_a_change_that_was_not_made(api: Ec2Api, stub: Stubber) -> None:
    stub.add_response("disable_image", {"Return": False}, {"ImageId": IMAGE})
    with pytest.raises(AwsRefusedError, match="disable it: EC2 says that it was not done"):
        api.send(call("DisableImage", ImageId=IMAGE), "disable it")


def test_throttling_is_ridden_out_and_told_in_the_end(api: Ec2Api, stub: Stubber) -> None:
    one = call("DisableImage", ImageId=IMAGE)
    for _ in range(3):
        stub.add_client_error("disable_image", "RequestLimitExceeded", http_status_code=503)
    with pytest.raises(TransferError, match=r"RequestLimitExceeded\); EC2 asks for fewer requests"):
        api.send(one, "disable it")
    stub.add_response("disable_image", {"Return": True}, {"ImageId": IMAGE})
    assert api.send(one, "disable it")["Return"] is True


def test_parameters_are_checked_against_the_model(api: Ec2Api) -> None:
    with pytest.raises(UsageError, match=r"disable it: .*Colour"):
        api.send(call("DisableImage", ImageId=IMAGE, Colour="red"), "disable it")


@pytest.mark.parametrize(
    ("operation", "reply", "look", "lacking"),
    [
        (
            "DescribeImages",
            {"Images": [{"Name": "a"}]},
            lambda api: find_image(api, IMAGE),
            "AMI: .*'ImageId'",
        ),
        (
            "DescribeImages",
            {"Images": [{"ImageId": IMAGE, "Tags": [{"Value": "a"}]}]},
            lambda api: find_image(api, IMAGE),
            "AMI: .*'Key'",
        ),
        (
            "DescribeSnapshots",
            {"Snapshots": [{"State": "completed"}]},
            lambda api: describe_snapshots(api, ["snap-1"]),
            "snapshot: .*'SnapshotId'",
        ),
        (
            "DescribeInstances",
            {"Reservations": [{"Instances": [{}]}]},
            lambda api: describe_instances(api, ["i-1"]),
            "instance: .*'InstanceId'",
        ),
    ],
)
def test_a_reply_that_lacks_what_is_needed(
    api: Ec2Api,
    stub: Stubber,
    operation: str,
    reply: dict[str, Any],
    look: Callable[[Ec2Api], object],
    lacking: str,
) -> None:
    stub.add_response(xform_name(operation), reply)
    with pytest.raises(TransferError, match=f"{lacking}; check the proxy"):
        look(api)


def test_a_launch_without_an_answer_tells_its_token(api: Ec2Api, stub: Stubber) -> None:
    token = "t 1"  # noqa: S105 - a client token is no secret
    spec = LaunchSpec(image_id=IMAGE, instance_type="m3.medium", client_token=token)
    for _ in range(2):
        stub.add_client_error("run_instances", "InternalError", http_status_code=500)
    with pytest.raises(TransferError, match=r"tried 2 times.*all the same: --client-token 't 1'"):
        launch_instances(api, spec)
