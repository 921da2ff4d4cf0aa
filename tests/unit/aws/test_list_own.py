"""DescribeImages of all AMIs of an account, page by page: moto has no pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.retry import RetryPolicy
from bundler.aws.session import Cloud
from bundler.aws.transport import Transport, TransportSettings
from bundler.errors import AwsRefusedError, TransferError
from bundler.workflow.registered import find_registered
from tests.support.cloud import set_cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

REQUEST: dict[str, Any] = {"Owners": ["self"], "IncludeDisabled": True, "MaxResults": 1000}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "EC2Client":
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1").ec2()


@pytest.fixture
def registry(client: "EC2Client") -> Ec2ImageRegistry:
    policy = RetryPolicy(max_attempts=2, first_delay=0.001)
    return Ec2ImageRegistry(client, Transport(TransportSettings(policy=policy)))


@pytest.fixture
def stub(client: "EC2Client") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def add_page(stub: Stubber, *images: tuple[str, str], at: str = "", following: str = "") -> None:
    reply: dict[str, Any] = {
        "Images": [
            {"ImageId": image_id, "ImageLocation": location, "State": "available"}
            for image_id, location in images
        ]
    }
    if following:
        reply["NextToken"] = following
    stub.add_response("describe_images", reply, {**REQUEST, **({"NextToken": at} if at else {})})


def test_all_pages_are_read_even_empty_ones(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    add_page(stub, ("ami-1", "b/x"), ("ami-2", "b/y"), following="t1")
    add_page(stub, at="t1", following="t2")
    add_page(stub, ("ami-3", "b/z"), at="t2")
    assert [ami.image_id for ami in registry.list_own()] == ["ami-1", "ami-2", "ami-3"]


def test_a_page_that_fails_is_asked_for_again(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    add_page(stub, ("ami-1", "b/x"), following="t1")
    stub.add_client_error("describe_images", "RequestLimitExceeded", "Slow.", 503)
    add_page(stub, ("ami-2", "b/y"), at="t1")
    assert [ami.image_id for ami in registry.list_own()] == ["ami-1", "ami-2"]


def test_pages_without_end_are_refused(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    add_page(stub, following="t1")
    add_page(stub, at="t1", following="t1")
    with pytest.raises(TransferError, match="EC2 does not tell how to go on"):
        list(registry.list_own())


def test_an_answer_that_is_none_of_ec2_is_no_empty_list(
    registry: Ec2ImageRegistry, stub: Stubber
) -> None:
    for _ in range(2):
        stub.add_response("describe_images", {}, REQUEST)
    with pytest.raises(TransferError, match="expected an answer of AWS, got one without 'Images'"):
        list(registry.list_own())


def test_a_refusal(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    stub.add_client_error("describe_images", "UnauthorizedOperation", "No.", 403)
    with pytest.raises(AwsRefusedError, match="list the AMIs of this account: No"):
        list(registry.list_own())


def test_amis_are_found_by_their_manifests(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    add_page(
        stub,
        ("ami-1", "b/x.manifest.xml"),
        ("ami-2", "/b/x.manifest.xml"),
        ("ami-3", "b/y.manifest.xml/"),
        ("ami-4", ""),
    )
    assert find_registered(registry) == {
        "b/x.manifest.xml": ("ami-1", "ami-2"),
        "b/y.manifest.xml": ("ami-3",),
    }
