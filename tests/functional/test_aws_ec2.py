"""Registering an AMI over HTTP, against an EC2 that looks at what it registers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import Architecture, ImageLocation, ImageState
from bundler.model.registration import Registration
from bundler.workflow.register import register_image
from tests.support.cloud import (
    ACCOUNT_ID,
    CloudServer,
    Reply,
    cloud_server,
    make_bucket,
    open_cloud,
    open_store,
    put_object,
)
from tests.support.faults import Fault, FaultKind
from tests.support.small_bundles import small_bundle

LOCATION = ImageLocation(bucket="images", key="web")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def cloud(server: CloudServer) -> Cloud:
    """A cloud with a manifest in S3."""
    make_bucket(server, LOCATION.bucket)
    store = open_store(server, LOCATION)
    for name, body in (small_bundle("web", 1) | small_bundle("web2", 1)).items():
        put_object(store, name, body)
    store.flush()
    return open_cloud(server)


def registration(*, name: str = "web", key: str = "web.manifest.xml") -> Registration:
    return Registration(location=LOCATION.join(key), name=name, architecture=Architecture.X86_64)


def no_sleep(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} seconds")


def test_a_manifest_becomes_an_ami(server: CloudServer, cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    ami = register_image(registry, registration(), sleep=no_sleep, clock=lambda: 0.0)
    assert ami.image_id.startswith("ami-")
    assert ami.state is ImageState.AVAILABLE
    assert ami.location == "images/web/web.manifest.xml"
    assert server.registrations == [
        {
            "Name": "web",
            "ImageLocation": "images/web/web.manifest.xml",
            "Architecture": "x86_64",
            "VirtualizationType": "hvm",
        }
    ]
    (image,) = cloud.ec2().describe_images(Owners=["self"])["Images"]
    assert image["RootDeviceType"] == "instance-store"
    assert image["BlockDeviceMappings"] == []


def test_a_name_that_an_ami_of_another_manifest_has(cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    registry.register(registration())
    with pytest.raises(AwsRefusedError, match="choose another AMI name") as caught:
        registry.register(registration(key="web2.manifest.xml"))
    assert caught.value.code == "InvalidAMIName.Duplicate"


def test_registering_again_is_no_error(server: CloudServer, cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    assert registry.register(registration()) == registry.register(registration())


def test_find_tells_who_has_a_name(cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    assert registry.find("web") is None
    image_id = registry.register(registration())
    registry.register(registration(name="web 2"))
    ami = registry.find("web")
    assert ami is not None
    assert (ami.image_id, ami.name) == (image_id, "web")


def test_a_manifest_that_is_not_there(cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    with pytest.raises(AwsRefusedError, match=r"HTTP 404.*; there is no such object") as caught:
        registry.register(registration(key="other.manifest.xml"))
    assert caught.value.code == "InvalidManifest"


def test_a_manifest_of_another_region(server: CloudServer, cloud: Cloud) -> None:
    elsewhere = open_cloud(server, region="us-west-2")
    with pytest.raises(AwsRefusedError, match="the bucket is in another region"):
        Ec2ImageRegistry(elsewhere.ec2()).register(registration())


def test_a_registration_whose_reply_is_lost_is_not_refused(
    server: CloudServer, cloud: Cloud
) -> None:
    registry = Ec2ImageRegistry(cloud.ec2(), cloud.transport)
    server.faults.add(Fault(kind=FaultKind.DROP_RESPONSE, method="POST"))
    image_id = registry.register(registration())
    assert len(server.registrations) == 2
    assert cloud.transport.retry_count == 1
    ami = registry.find("web")
    assert ami is not None
    assert ami.image_id == image_id


def test_an_ami_that_ec2_does_not_know(cloud: Cloud) -> None:
    assert Ec2ImageRegistry(cloud.ec2()).describe("ami-0123456789abcdef0") is None


def test_a_reply_that_is_not_ec2s(server: CloudServer, cloud: Cloud) -> None:
    page = Reply(status="200 OK", body=b"<html><p>Please log in.</html>")
    server.intercept = lambda request: page
    with pytest.raises(TransferError, match="check the endpoint's URL"):
        Ec2ImageRegistry(cloud.ec2(), cloud.transport).describe("ami-0123456789abcdef0")


def test_the_callers_account(cloud: Cloud) -> None:
    assert account_id(cloud.sts(), cloud.transport) == ACCOUNT_ID
