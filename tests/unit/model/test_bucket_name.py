"""Names of new buckets."""

import pytest

from bundler.errors import UsageError
from bundler.model.bucket_name import check_new_bucket_name


@pytest.mark.parametrize("name", ["abc", "a" * 63, "my-bucket.of.images-1", "1.2.3", "0ab"])
def test_names_that_s3_takes(name: str) -> None:
    check_new_bucket_name(name)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("", "3 to 63"),
        ("ab", "3 to 63"),
        ("a" * 64, "3 to 63"),
        ("Images", "lower-case"),
        ("my_images", "lower-case"),
        ("-images", "at each end"),
        ("images.", "at each end"),
        ("images\n", "lower-case"),
        ("my..images", "two dots"),
        ("192.168.0.1", "IP address"),
        ("xn--images", "for itself"),
        ("sthree-images", "for itself"),
        ("images-s3alias", "for itself"),
        ("images--ol-s3", "for itself"),
        ("images--x-s3", "for itself"),
    ],
)
def test_names_that_s3_refuses(name: str, pattern: str) -> None:
    with pytest.raises(UsageError, match=pattern):
        check_new_bucket_name(name)
