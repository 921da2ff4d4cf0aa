"""Who needs an AMI among launch configurations and Auto Scaling groups."""

from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from bundler.aws.retry import RetryPolicy
from bundler.aws.scaling_groups import find_scaling_uses
from bundler.aws.session import Cloud
from bundler.aws.transport import TransportSettings
from bundler.errors import TransferError
from tests.support.cloud import set_cloud_environment

AMI = "ami-0123456789abcdef0"
FIRST = {"MaxRecords": 100}
ONCE = TransportSettings(policy=RetryPolicy(max_attempts=1))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1", settings=ONCE)


def configuration(name: str, image_id: str = AMI) -> dict[str, Any]:
    return {
        "LaunchConfigurationName": name,
        "ImageId": image_id,
        "InstanceType": "m3.medium",
        "CreatedTime": "2014-01-01T00:00:00Z",
    }


def group(name: str, **more: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(("MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown"), 0)
    return {
        "AutoScalingGroupName": name,
        "AvailabilityZones": ["eu-west-1a"],
        "HealthCheckType": "EC2",
        "CreatedTime": "2014-01-01T00:00:00Z",
        **numbers,
        **more,
    }


def by_template(template_id: str) -> dict[str, Any]:
    return {"LaunchTemplateSpecification": {"LaunchTemplateId": template_id}}


def test_configurations_and_groups_are_read_page_by_page(cloud: Cloud) -> None:
    mixed = {
        **by_template("lt-9"),
        "Overrides": [{"InstanceType": "m5.large"}, by_template("lt-1")],
    }
    pages: dict[str, list[list[dict[str, Any]]]] = {
        "LaunchConfigurations": [
            [configuration("b"), configuration("c", "ami-12345678")],
            [configuration("a")],
        ],
        "AutoScalingGroups": [
            [
                group("by c", LaunchConfigurationName="c"),
                group("by a", LaunchConfigurationName="a"),
            ],
            [
                group("by lt-1", LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "$Latest"}),
                group("mixed", MixedInstancesPolicy={"LaunchTemplate": mixed}),
                group("by lt-9", LaunchTemplate={"LaunchTemplateId": "lt-9"}),
            ],
        ],
    }
    client = cloud.autoscaling()
    with Stubber(client) as stub:
        for key, (first, second) in pages.items():
            method = (
                f"describe_{'launch_configurations' if key[0] == 'L' else 'auto_scaling_groups'}"
            )
            stub.add_response(method, {key: first, "NextToken": "more"}, FIRST)
            stub.add_response(method, {key: second}, {**FIRST, "NextToken": "more"})
        uses = ("instance/i-1", "launch-template/lt-1 (version 2, 1)")
        assert find_scaling_uses(client, cloud.transport, AMI, uses) == (
            "launch-configuration/a",
            "launch-configuration/b",
            "auto-scaling-group/by a (by a)",
            "auto-scaling-group/by lt-1 (by lt-1)",
            "auto-scaling-group/mixed (by lt-1)",
        )
        stub.assert_no_pending_responses()


def test_groups_are_not_asked_for_without_need(cloud: Cloud) -> None:
    client = cloud.autoscaling()
    with Stubber(client) as stub:
        stub.add_response("describe_launch_configurations", {"LaunchConfigurations": []}, FIRST)
        assert find_scaling_uses(client, cloud.transport, AMI, ("instance/i-1",)) == ()


def test_pages_that_never_end_are_no_answer(cloud: Cloud) -> None:
    page = {"LaunchConfigurations": [configuration("a")], "NextToken": "more"}
    client = cloud.autoscaling()
    with Stubber(client) as stub:
        for _ in range(2):
            stub.add_response("describe_launch_configurations", page)
        with pytest.raises(TransferError, match="does not tell how to go on"):
            find_scaling_uses(client, cloud.transport, AMI, ())
