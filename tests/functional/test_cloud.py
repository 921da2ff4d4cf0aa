"""The servers that tests run against are what those tests take them for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from bundler.aws.session import Cloud
from tests.support.cloud import (
    ACCOUNT_ID,
    REGION,
    S3_SERVERS,
    CloudServer,
    client_of,
    cloud_server,
    s3_client,
)
from tests.support.small_bundles import small_bundle
from tests.support.swift import SWIFT_OTHER_CREDENTIALS
from tests.support.tools import cli_environment, run_cli


@pytest.fixture(params=S3_SERVERS)
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3=request.param) as running:
        yield running


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[CloudServer]:
    with cloud_server(monkeypatch, tmp_path, s3="swift") as running:
        yield running


def make_bucket(server: CloudServer) -> None:
    s3_client(server).create_bucket(
        Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )


@pytest.mark.parametrize("time", [1, 2])
def test_every_test_begins_with_nothing(server: CloudServer, time: int) -> None:
    client = s3_client(server)
    assert client.list_buckets()["Buckets"] == []
    make_bucket(server)
    client.put_object(Bucket="images", Key="ä b", Body=b"content")
    upload = client.create_multipart_upload(Bucket="images", Key="big")
    client.upload_part(
        Bucket="images", Key="big", UploadId=upload["UploadId"], PartNumber=1, Body=b"content"
    )
    client.put_bucket_versioning(Bucket="images", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        client.put_object(Bucket="images", Key="name", Body=b"content")
    client.delete_object(Bucket="images", Key="name")


def test_s3_ec2_and_sts_have_one_address(server: CloudServer) -> None:
    location = "images/web.manifest.xml"
    cloud = Cloud.open(region=REGION, endpoint_url=server.url)
    assert cloud.sts().get_caller_identity()["Account"] == ACCOUNT_ID
    with pytest.raises(ClientError, match="HTTP 404"):
        cloud.ec2().register_image(Name="web", ImageLocation=location)
    make_bucket(server)
    for key, body in small_bundle("web").items():
        cloud.s3().put_object(Bucket="images", Key=key, Body=body)
    server.requests.clear()
    image_id = cloud.ec2().register_image(Name="web", ImageLocation=location)["ImageId"]
    assert image_id.startswith("ami-")
    assert len(server.requests) == 1
    assert len(server.registrations) == 2
    elsewhere = Cloud.open(region="us-west-2", endpoint_url=server.url).ec2()
    with pytest.raises(ClientError, match="HTTP 301"):
        elsewhere.register_image(Name="web", ImageLocation=location)


def test_a_process_of_its_own_gets_in_with_the_credentials(server: CloudServer) -> None:
    make_bucket(server)
    words = ("register", "s3://images/x.manifest.xml", "--name", "web", "--region", REGION)
    environment = cli_environment(**server.credentials)
    outcome = run_cli(*words, "--endpoint-url", server.url, environment=environment)
    assert "NoSuchKey" in outcome.errors


def test_swift_checks_signatures(swift: CloudServer) -> None:
    wrong = swift.credentials | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client_of(swift.url, wrong).list_buckets()


def test_the_other_user_of_swift_may_do_what_is_granted(swift: CloudServer) -> None:
    make_bucket(swift)
    owner, other = s3_client(swift), client_of(swift.url, SWIFT_OTHER_CREDENTIALS)
    owner.put_object(Bucket="images", Key="mine", Body=b"mine")
    owner.put_object(Bucket="images", Key="ours", Body=b"ours", GrantRead="id=test:tester3")
    assert other.get_object(Bucket="images", Key="ours")["Body"].read() == b"ours"
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket="images", Key="mine")
