"""Where things lie in S3."""

import pytest

from bundler.errors import UsageError
from bundler.model.image import Architecture, ImageLocation
from bundler.model.registration import Registration

ACCESS_POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/images"


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("s3://images", "images", ""),
        ("s3://images/", "images", ""),
        ("s3://images/web/2026/", "images", "web/2026"),
        ("images/web", "images", "web"),
        ("s3://my.dotted.bucket/a b/ä/x", "my.dotted.bucket", "a b/ä/x"),
        ("s3://Old_Bucket/x", "Old_Bucket", "x"),
        (f"s3://{ACCESS_POINT}", ACCESS_POINT, ""),
        (f"s3://{ACCESS_POINT}/web/x", ACCESS_POINT, "web/x"),
        (
            "s3://arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:images/x",
            "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:images",
            "x",
        ),
    ],
)
def test_parse(url: str, bucket: str, key: str) -> None:
    location = ImageLocation.parse(url)
    assert (location.bucket, location.key) == (bucket, key)
    assert location.is_access_point == bucket.startswith("arn:")
    assert ImageLocation.parse(location.url) == location


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3://",
        "s3:///x",
        "s3://x/y",
        "s3://../y",
        "s3://-a/y",
        "s3://a b/y",
        "s3://arn:aws:s3:eu-west-1:1234:accesspoint/images/x",
        "s3://arn:aws:iam::123456789012:role/x",
    ],
)
def test_what_is_no_location(url: str) -> None:
    with pytest.raises(UsageError, match="is not a bucket name"):
        ImageLocation.parse(url)


def test_an_access_point_cannot_be_registered() -> None:
    location = ImageLocation.parse(f"s3://{ACCESS_POINT}/x.manifest.xml")
    with pytest.raises(UsageError, match="EC2 knows buckets by their names only"):
        Registration(location=location, name="web", architecture=Architecture.X86_64)
