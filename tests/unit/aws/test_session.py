"""Clients, region, profile and partition."""

from pathlib import Path

import pytest
from botocore.client import BaseClient

from bundler.aws.session import Cloud, partition
from bundler.aws.transport import TransportSettings
from bundler.errors import UsageError
from tests.support.cloud import set_cloud_environment


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_cloud_environment(monkeypatch, tmp_path)


def option(client: BaseClient, name: str) -> object:
    return vars(client.meta.config)[name]


def test_no_region_tells_how_to_give_one() -> None:
    with pytest.raises(UsageError, match=r"no region; give one with --region, AWS_REGION"):
        Cloud.open()


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("eu-west-1", {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        ("", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
    ],
)
def test_the_region_comes_from_the_nearest_source(
    monkeypatch: pytest.MonkeyPatch, given: str, environment: dict[str, str], expected: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Cloud.open(region=given).region == expected


def test_a_profile_gives_region_and_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "aws-config").write_text(
        "[profile images]\nregion = ap-south-1\n"
        "aws_access_key_id = one\naws_secret_access_key = two\n"
    )
    assert Cloud.open(profile="images").region == "ap-south-1"


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(UsageError, match=r"\(nobody\) could not be found.*list-profiles"):
        Cloud.open(region="eu-west-1", profile="nobody")


def test_no_credentials_tells_how_to_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        Cloud.open(region="eu-west-1")


@pytest.mark.parametrize(
    "url",
    ["localhost:5000", "ftp://host", "http://", "https://user:password@host", "http://host:x"],
)
def test_what_is_no_endpoint_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="endpoint URL") as caught:
        Cloud.open(region="eu-west-1", endpoint_url=url)
    assert "password" not in str(caught.value)


def test_what_is_no_region_is_refused() -> None:
    cloud = Cloud.open(region="eu west 1")
    with pytest.raises(UsageError, match="eu west 1"):
        cloud.s3()


def test_clients_are_of_the_region_and_leave_retries_to_us() -> None:
    cloud = Cloud.open(region="eu-central-1", settings=TransportSettings(timeout=7.0))
    for client in (cloud.s3(), cloud.ec2(), cloud.sts()):
        assert client.meta.region_name == "eu-central-1"
        assert client.meta.endpoint_url.startswith("https://")
        assert option(client, "retries") == {"mode": "standard", "total_max_attempts": 1}
        assert option(client, "connect_timeout") == 7
        assert option(client, "read_timeout") == 7
        assert "ami-bundler/" in str(option(client, "user_agent_extra"))


def test_one_endpoint_is_for_all_services_and_has_buckets_in_the_path() -> None:
    cloud = Cloud.open(region="eu-west-1", endpoint_url="http://localhost:9")
    for client in (cloud.s3(), cloud.ec2(), cloud.sts()):
        assert client.meta.endpoint_url == "http://localhost:9"
    assert option(cloud.s3(), "s3") == {"addressing_style": "path"}


def test_an_endpoint_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    client = Cloud.open(region="eu-west-1").s3()
    assert client.meta.endpoint_url == "http://localhost:9"
    assert option(client, "s3") == {"addressing_style": "path"}


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    assert "very-secret" not in repr(Cloud.open(region="eu-west-1"))


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "aws"),
        ("eu-west-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-north-77", "aws"),
        ("cn-south-9", "aws-cn"),
        ("us-gov-north-9", "aws-us-gov"),
    ],
)
def test_partition_of_known_and_of_future_regions(region: str, expected: str) -> None:
    assert partition(region) == expected


def test_a_region_of_no_partition_is_refused() -> None:
    with pytest.raises(UsageError, match="'garage': of no AWS partition"):
        partition("garage")
