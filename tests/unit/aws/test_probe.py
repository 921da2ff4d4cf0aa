"""The clock, versions, instance types and credentials, as AWS's replies tell them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from bundler.aws.ec2_api import Ec2Api
from bundler.aws.errors import translated
from bundler.aws.instances import find_instance_types
from bundler.aws.probe import measure_skew, remove_versions
from bundler.aws.session import Cloud, is_listed_region
from bundler.aws.sts import Caller, find_caller
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, TransferError, UsageError
from bundler.model.image import Architecture, ImageLocation, VirtualizationType
from tests.support.cloud import set_cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_s3 import S3Client

PROBE = ImageLocation(bucket="images", key="web/probe")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    set_cloud_environment(monkeypatch, tmp_path)
    return Cloud.open(region="eu-west-1")


@pytest.fixture
def s3(cloud: Cloud) -> "S3Client":
    return cloud.s3()


@pytest.fixture
def ec2(cloud: Cloud) -> "EC2Client":
    return cloud.ec2()


@pytest.fixture
def s3_stub(s3: "S3Client") -> Iterator[Stubber]:
    with Stubber(s3) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def ec2_stub(ec2: "EC2Client") -> Iterator[Stubber]:
    with Stubber(ec2) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def dated(ahead: timedelta) -> dict[str, Any]:
    """The HTTP side of a reply that S3 sends at a time that far ahead of ours."""
    date = format_datetime(datetime.now(UTC) + ahead, usegmt=True)
    return {"HTTPHeaders": {"date": date}, "HTTPStatusCode": 200}


def test_the_clock_by_a_reply(s3: "S3Client", s3_stub: Stubber) -> None:
    s3_stub.add_response("head_bucket", {"ResponseMetadata": dated(timedelta(hours=-1))})
    skew = measure_skew(s3, "images", Transport())
    assert skew is not None
    assert 3599 <= skew < 3660


@pytest.mark.parametrize(("status", "code"), [(403, "403"), (404, "404"), (400, "400")])
def test_the_clock_by_a_refusal(s3: "S3Client", s3_stub: Stubber, status: int, code: str) -> None:
    meta = {"HTTPHeaders": dated(timedelta(hours=1))["HTTPHeaders"]}
    s3_stub.add_client_error("head_bucket", code, http_status_code=status, response_meta=meta)
    skew = measure_skew(s3, "images", Transport())
    assert skew is not None
    assert -3601 <= skew < -3540


def test_a_server_that_tells_no_time(s3: "S3Client", s3_stub: Stubber) -> None:
    s3_stub.add_response("head_bucket", {})
    assert measure_skew(s3, "images", Transport()) is None


@pytest.mark.parametrize(
    ("code", "ahead", "is_told"),
    [
        ("403", timedelta(minutes=-16), True),
        ("403", timedelta(minutes=16), True),
        ("400", timedelta(minutes=16), True),
        ("403", timedelta(minutes=14), False),
        ("404", timedelta(minutes=16), False),
    ],
)
def test_a_refusal_without_a_body_by_a_wrong_clock(
    code: str, ahead: timedelta, *, is_told: bool
) -> None:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": dated(ahead)}
    with pytest.raises(AwsRefusedError) as caught, translated("look at s3://images"):
        raise ClientError(response, "HeadBucket")
    assert ("check this machine's clock: it is" in str(caught.value)) == is_told


def test_all_versions_of_one_object_are_removed(s3: "S3Client", s3_stub: Stubber) -> None:
    reply = {
        "Versions": [
            {"Key": PROBE.key, "VersionId": "1"},
            {"Key": f"{PROBE.key}-of-another", "VersionId": "2"},
        ],
        "DeleteMarkers": [{"Key": PROBE.key, "VersionId": "3"}],
    }
    s3_stub.add_response("list_object_versions", reply, {"Bucket": "images", "Prefix": PROBE.key})
    for version in ("1", "3"):
        expected = {"Bucket": "images", "Key": PROBE.key, "VersionId": version}
        s3_stub.add_response("delete_object", {}, expected)
    remove_versions(s3, PROBE, Transport())


def find(client: "EC2Client", architecture: Architecture | None = None) -> tuple[str, ...]:
    return find_instance_types(
        Ec2Api(client, Transport()),
        architecture=architecture,
        virtualization_type=VirtualizationType.PARAVIRTUAL,
    )


FILTERS = [
    {"Name": "supported-root-device-type", "Values": ["instance-store"]},
    {"Name": "supported-virtualization-type", "Values": ["paravirtual"]},
]


def page(*names: str, following: str = "") -> dict[str, object]:
    types = [{"InstanceType": name} for name in names]
    return (
        {"InstanceTypes": types, "NextToken": following} if following else {"InstanceTypes": types}
    )


def test_instance_types_of_all_pages(ec2: "EC2Client", ec2_stub: Stubber) -> None:
    request = {"Filters": FILTERS, "MaxResults": 100}
    ec2_stub.add_response(
        "describe_instance_types", page("m3.large", "c3.large", following="2"), request
    )
    ec2_stub.add_response(
        "describe_instance_types", page("m1.small"), {**request, "NextToken": "2"}
    )
    assert find(ec2) == ("c3.large", "m1.small", "m3.large")


def test_instance_types_of_an_architecture(ec2: "EC2Client", ec2_stub: Stubber) -> None:
    filters = [*FILTERS, {"Name": "processor-info.supported-architecture", "Values": ["arm64"]}]
    request = {"Filters": filters, "MaxResults": 100}
    ec2_stub.add_response("describe_instance_types", page(), request)
    assert find(ec2, Architecture.ARM64) == ()


def test_pages_that_never_end(ec2: "EC2Client", ec2_stub: Stubber) -> None:
    for _ in range(2):
        ec2_stub.add_response("describe_instance_types", page("m1.small", following="2"))
    with pytest.raises(TransferError, match="does not tell how to go on"):
        find(ec2)


def test_the_caller(cloud: Cloud) -> None:
    client = cloud.sts()
    arn = "arn:aws:sts::123456789012:assumed-role/build/session"
    with Stubber(client) as stub:
        reply = {"Account": "123456789012", "Arn": arn, "UserId": "AROAEXAMPLE:session"}
        stub.add_response("get_caller_identity", reply, {})
        assert find_caller(client, cloud.transport) == Caller(account="123456789012", arn=arn)


def test_credentials_of_the_environment(cloud: Cloud) -> None:
    source = cloud.credential_source()
    assert (source.method, source.expires, source.is_renewed) == ("env", None, False)


def test_credentials_of_a_file(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    path = tmp_path / "aws-credentials"
    path.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    source = Cloud.open(region="eu-west-1").credential_source()
    assert (source.method, source.expires) == ("shared-credentials-file", None)


def test_credentials_of_a_program(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are asked for again when they expire."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    answer = tmp_path / "answer"
    answer.write_text(
        '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c",'
        ' "Expiration": "2999-01-01T00:00:00Z"}'
    )
    (tmp_path / "aws-config").write_text(f"[default]\ncredential_process = cat {answer}\n")
    source = Cloud.open(region="eu-west-1").credential_source()
    assert (source.method, source.is_renewed) == ("custom-process", True)
    assert source.expires == datetime(2999, 1, 1, tzinfo=UTC)


def test_an_expiry_that_is_no_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "soon")
    with pytest.raises(UsageError, match=r"AWS configuration: .*soon"):
        Cloud.open(region="eu-west-1")


@pytest.mark.parametrize(
    ("region", "expected"),
    [("eu-west-1", True), ("cn-north-1", True), ("us-gov-west-1", True), ("eu-west-77", False)],
)
def test_regions_that_botocore_lists(region: str, *, expected: bool) -> None:
    assert is_listed_region(region) == expected
