"""Names of AMIs, which botocore's clients check for length before they ask."""

import pytest

from bundler.embedded.image_request import check_name
from bundler.errors import AwsRefusedError


@pytest.mark.parametrize("name", ["abc", "a" * 128, "Web (1) [2] ./-'@_"])
def test_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "ab", "a" * 129, "web:1", "wéb", "web\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(AwsRefusedError, match="between 3 and 128") as caught:
        check_name(name)
    assert caught.value.code == "InvalidAMIName.Malformed"
