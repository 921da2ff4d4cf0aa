"""To which address a request about an object goes; nothing is sent."""

import io
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from urllib3 import HTTPResponse

from bundler.aws.s3 import S3BundleStore
from bundler.aws.session import Cloud
from bundler.aws.transport import TransportSettings
from bundler.model.image import ImageLocation
from tests.support.cloud import set_cloud_environment


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_cloud_environment(monkeypatch, tmp_path)


def sent_for(url: str, *, endpoint_url: str = "", is_paying: bool = False) -> AWSPreparedRequest:
    """The request that looks at `name` below a location."""
    settings = TransportSettings(is_requester_paying=is_paying)
    cloud = Cloud.open(region="eu-west-1", endpoint_url=endpoint_url, settings=settings)
    client = cloud.s3()
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: Any) -> Any:
        sent.append(request)
        headers: Any = HeadersDict({"Content-Length": "7"})
        return AWSResponse(
            request.url, 200, headers, HTTPResponse(io.BytesIO(), preload_content=False)
        )

    client.meta.events.register("before-send.s3", answer)
    store = S3BundleStore(client, ImageLocation.parse(url), transport=cloud.transport)
    found = store.head("name")
    assert found is not None
    assert found.size == 7
    return sent[0]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://images/web", "https://images.s3.eu-west-1.amazonaws.com/web/name"),
        ("s3://my.bucket/web", "https://s3.eu-west-1.amazonaws.com/my.bucket/web/name"),
        ("s3://images/a b/ä", "https://images.s3.eu-west-1.amazonaws.com/a%20b/%C3%A4/name"),
        ("s3://images", "https://images.s3.eu-west-1.amazonaws.com/name"),
        (
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/images/web",
            "https://images-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/web/name",
        ),
    ],
)
def test_addresses_on_aws(url: str, address: str) -> None:
    assert sent_for(url).url == address


def test_elsewhere_the_bucket_is_in_the_path() -> None:
    request = sent_for("s3://images/web", endpoint_url="https://s3.example:8443/")
    assert request.url == "https://s3.example:8443/images/web/name"


@pytest.mark.parametrize("is_paying", [True, False])
def test_the_requester_pays_only_when_told_to(is_paying: bool) -> None:
    headers = sent_for("s3://images/web", is_paying=is_paying).headers
    assert ("x-amz-request-payer" in headers) == is_paying
