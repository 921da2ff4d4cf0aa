"""Registering an AMI over HTTP, against moto with a RegisterImage that acts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import Architecture, ImageLocation, ImageState
from bundler.model.registration import Registration
from bundler.workflow.register import register_image
from tests.support.cloud import ACCOUNT_ID, REGION, CloudServer, Reply, cloud_server, put_object

LOCATION = ImageLocation(bucket="images", key="web")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def cloud(server: CloudServer) -> Cloud:
    """A cloud with a manifest in S3."""
    cloud = Cloud.open(region=REGION, endpoint_url=server.url, attempts=2)
    store = S3BundleStore(cloud.s3(), LOCATION)
    store.prepare()
    put_object(store, "web.manifest.xml", b"<manifest/>")
    store.flush()
    return cloud


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


def test_a_name_that_is_taken(cloud: Cloud) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    registry.register(registration())
    with pytest.raises(AwsRefusedError, match="choose another AMI name") as caught:
        registry.register(registration())
    assert caught.value.code == "InvalidAMIName.Duplicate"


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
    with pytest.raises(AwsRefusedError, match=r"HTTP 404.*usual causes") as caught:
        registry.register(registration(key="other.manifest.xml"))
    assert caught.value.code == "InvalidManifest"


def test_a_manifest_of_another_region(server: CloudServer, cloud: Cloud) -> None:
    elsewhere = Cloud.open(region="us-west-2", endpoint_url=server.url)
    with pytest.raises(AwsRefusedError, match="the bucket is in another region"):
        Ec2ImageRegistry(elsewhere.ec2()).register(registration())


def test_a_registration_whose_reply_is_lost_is_not_refused(
    server: CloudServer, cloud: Cloud
) -> None:
    registry = Ec2ImageRegistry(cloud.ec2())
    first = registry.register(registration())
    # The server has the AMI; the client never heard of it and asks again.
    replies = [Reply(status="500 Internal Server Error")]
    server.intercept = lambda request: replies.pop() if replies else None
    assert registry.register(registration()) == first


def test_an_ami_that_ec2_does_not_know(cloud: Cloud) -> None:
    assert Ec2ImageRegistry(cloud.ec2()).describe("ami-0123456789abcdef0") is None


def test_a_reply_that_is_not_ec2s(server: CloudServer, cloud: Cloud) -> None:
    page = Reply(status="200 OK", body=b"<html><p>Please log in.</html>")
    server.intercept = lambda request: page
    with pytest.raises(TransferError, match="check the endpoint's URL"):
        Ec2ImageRegistry(cloud.ec2()).describe("ami-0123456789abcdef0")


def test_the_callers_account(cloud: Cloud) -> None:
    assert account_id(cloud.sts()) == ACCOUNT_ID
