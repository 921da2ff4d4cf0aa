"""RegisterImage and DescribeImages: what is asked, and what the answers become."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from bundler.aws.ec2 import Ec2ImageRegistry
from bundler.aws.session import Cloud
from bundler.aws.sts import account_id
from bundler.errors import AwsRefusedError
from bundler.model.image import Ami, Architecture, ImageLocation, ImageState, VirtualizationType
from bundler.model.registration import Registration
from tests.support.cloud import set_cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

AMI_ID = "ami-0123456789abcdef0"

PLAIN = Registration(
    location=ImageLocation(bucket="images", key="web/web.manifest.xml"),
    name="web",
    architecture=Architecture.X86_64,
)

BY_NAME = {
    "Owners": ["self"],
    "Filters": [{"Name": "name", "Values": ["web"]}],
    "IncludeDisabled": True,
}

PLAIN_REQUEST = {
    "ImageLocation": "images/web/web.manifest.xml",
    "Name": "web",
    "Architecture": "x86_64",
    "VirtualizationType": "hvm",
}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1")


@pytest.fixture
def client(cloud: Cloud) -> "EC2Client":
    return cloud.ec2()


@pytest.fixture
def registry(client: "EC2Client") -> Ec2ImageRegistry:
    return Ec2ImageRegistry(client)


@pytest.fixture
def stub(client: "EC2Client") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_register_sends_nothing_that_is_empty(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    stub.add_response("register_image", {"ImageId": AMI_ID}, PLAIN_REQUEST)
    assert registry.register(PLAIN) == AMI_ID


def test_register_sends_all_that_is_given(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    registration = Registration(
        location=PLAIN.location,
        name="old one",
        description="A web server.",
        architecture=Architecture.I386,
        virtualization_type=VirtualizationType.PARAVIRTUAL,
        kernel_id="aki-12345678",
        ramdisk_id="ari-12345678",
    )
    expected = {
        "ImageLocation": "images/web/web.manifest.xml",
        "Name": "old one",
        "Description": "A web server.",
        "Architecture": "i386",
        "VirtualizationType": "paravirtual",
        "KernelId": "aki-12345678",
        "RamdiskId": "ari-12345678",
    }
    stub.add_response("register_image", {"ImageId": AMI_ID}, expected)
    assert registry.register(registration) == AMI_ID


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("InvalidManifest", "usual causes: the bucket is in another region"),
        ("UnauthorizedOperation", "IAM policy must allow it"),
    ],
)
def test_register_explains_refusals(
    registry: Ec2ImageRegistry, stub: Stubber, code: str, words: str
) -> None:
    stub.add_client_error("register_image", code, "No.", 400)
    with pytest.raises(AwsRefusedError, match=words) as caught:
        registry.register(PLAIN)
    assert caught.value.code == code
    assert str(caught.value).startswith("register s3://images/web/web.manifest.xml as AMI 'web': ")


def add_duplicate(stub: Stubber, location: str) -> None:
    stub.add_client_error("register_image", "InvalidAMIName.Duplicate", "In use.", 400)
    stub.add_response(
        "describe_images",
        {"Images": [{"ImageId": AMI_ID, "Name": "web", "ImageLocation": location}]},
        BY_NAME,
    )


def test_a_name_that_an_ami_of_this_manifest_has_is_a_success(
    registry: Ec2ImageRegistry, stub: Stubber
) -> None:
    add_duplicate(stub, "images/web/web.manifest.xml")
    assert registry.register(PLAIN) == AMI_ID


def test_a_duplicate_of_another_manifest_is_not_ours(
    registry: Ec2ImageRegistry, stub: Stubber
) -> None:
    add_duplicate(stub, "images/other/web.manifest.xml")
    with pytest.raises(AwsRefusedError, match=r"In use.*choose another AMI name"):
        registry.register(PLAIN)


def described(**image: Any) -> dict[str, Any]:
    return {"Images": [{"ImageId": AMI_ID, **image}]}


@pytest.mark.parametrize(
    ("image", "state", "reason"),
    [
        ({"State": "pending"}, ImageState.PENDING, ""),
        ({"State": "available"}, ImageState.AVAILABLE, ""),
        (
            {"State": "failed", "StateReason": {"Code": "Client.X", "Message": "bad part"}},
            ImageState.FAILED,
            "bad part",
        ),
        ({"State": "newly-invented"}, ImageState.TRANSIENT, ""),
        ({}, ImageState.PENDING, ""),
    ],
)
def test_describe(
    registry: Ec2ImageRegistry, stub: Stubber, image: dict[str, Any], state: ImageState, reason: str
) -> None:
    reply = described(Name="web", ImageLocation="images/web/web.manifest.xml", **image)
    asked = {"ImageIds": [AMI_ID], "IncludeDeprecated": True, "IncludeDisabled": True}
    stub.add_response("describe_images", reply, asked)
    assert registry.describe(AMI_ID) == Ami(
        image_id=AMI_ID,
        name="web",
        state=state,
        state_reason=reason,
        location="images/web/web.manifest.xml",
    )


def test_describe_of_an_ami_that_ec2_does_not_know_yet(
    registry: Ec2ImageRegistry, stub: Stubber
) -> None:
    stub.add_client_error("describe_images", "InvalidAMIID.NotFound", "No.", 400)
    stub.add_response("describe_images", {"Images": []})
    assert registry.describe(AMI_ID) is None
    assert registry.describe(AMI_ID) is None


def test_describe_that_is_refused(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    stub.add_client_error("describe_images", "UnauthorizedOperation", "No.", 403)
    with pytest.raises(AwsRefusedError, match=f"describe AMI {AMI_ID} in eu-west-1: No"):
        registry.describe(AMI_ID)


@pytest.mark.parametrize(
    ("images", "expected"), [([{"ImageId": AMI_ID, "State": "available"}], AMI_ID), ([], None)]
)
def test_find_looks_for_the_name_among_the_accounts_own(
    registry: Ec2ImageRegistry, stub: Stubber, images: list[dict[str, str]], expected: str | None
) -> None:
    stub.add_response("describe_images", {"Images": images}, BY_NAME)
    ami = registry.find("web")
    assert (ami and ami.image_id) == expected


def test_find_that_is_refused(registry: Ec2ImageRegistry, stub: Stubber) -> None:
    stub.add_client_error("describe_images", "UnauthorizedOperation", "No.", 403)
    with pytest.raises(AwsRefusedError, match=r"look for an AMI named 'web' in [a-z0-9-]+: No"):
        registry.find("web")


def test_account_id(cloud: Cloud) -> None:
    client = cloud.sts()
    with Stubber(client) as stub:
        stub.add_response("get_caller_identity", {"Account": "123456789012"}, {})
        assert account_id(client, cloud.transport) == "123456789012"
        stub.add_client_error("get_caller_identity", "InvalidClientTokenId", "No.", 403)
        with pytest.raises(AwsRefusedError, match="AWS account of the credentials: No"):
            account_id(client, cloud.transport)
