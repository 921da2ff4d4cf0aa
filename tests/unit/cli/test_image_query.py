"""The options of ami list: what they ask of EC2, and what is refused."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.cli.image_query import add_filter_options, add_owner_options, query_of
from bundler.errors import BundlerError, InputError, MissingError, UsageError
from bundler.model.described_image import ImageFilter, ImageQuery

ACCOUNT = "111122223333"


def read(*words: str) -> ImageQuery:
    parser = argparse.ArgumentParser()
    add_owner_options(parser)
    add_filter_options(parser)
    return query_of(parser.parse_args(words))


def test_owners() -> None:
    assert read().owners == ("self",)
    assert read("--owner", "all").owners == ()
    assert read("--owner", "amazon", "--owner", ACCOUNT).owners == ("amazon", ACCOUNT)
    shared = read("--executable-by", "self", "--executable-users", "all")
    assert (shared.owners, shared.executable_by) == ((), ("self", "all"))
    assert read("--executable-by", ACCOUNT, "--owner", "self").owners == ("self",)


@pytest.mark.parametrize(
    ("words", "filters"),
    [
        (("--name", "web*"), {"name": ("web*",)}),
        (("--arch", "arm64"), {"architecture": ("arm64",)}),
        (("--root-device-type", "s3"), {"root-device-type": ("instance-store",)}),
        (("--root-device-type", "ebs"), {"root-device-type": ("ebs",)}),
        (("--virtualization-type", "hvm"), {"virtualization-type": ("hvm",)}),
        (("--state", "failed"), {"state": ("failed",)}),
        (("--tag", "a"), {"tag:a": ("*",)}),
        (("--tag", "a=", "--tag", "b=c=d"), {"tag:a": ("",), "tag:b": ("c=d",)}),
        (("--tag", "a=b", "--tag", "a=c"), {"tag:a": ("b", "c")}),
        (("--tag", "a", "--tag", "a=c"), {"tag:a": ("c",)}),
        (
            ("--filters", "Name=a,Values=b,c", "Name=d,Values=e", "--filters", "Name=f,Values=[g]"),
            {"a": ("b", "c"), "d": ("e",), "f": ("g",)},
        ),
        (("--filters", '[{"Name": "a", "Values": ["b"]}]'), {"a": ("b",)}),
    ],
)
def test_filters(words: tuple[str, ...], filters: dict[str, tuple[str, ...]]) -> None:
    expected = tuple(ImageFilter(name=name, values=values) for name, values in filters.items())
    assert read(*words).filters == expected


def test_what_else_is_told_of() -> None:
    assert read().includes == frozenset()
    assert read("--state", "disabled").includes == {"disabled"}
    assert read("--include-deprecated", "--include-disabled").includes == {"deprecated", "disabled"}


def test_dates_and_locations() -> None:
    query = read("--created-after", "2026-01-31", "--created-before", "2026-01-31T12:00+02:00")
    assert query.created_after == datetime(2026, 1, 31, tzinfo=UTC)
    assert query.created_before == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert read("--image-location", "s3://b/web/*").location == "b/web/*"
    assert read("--image-location", "/b/web/*").location == "b/web/*"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--owner", "nobody"), "--owner 'nobody': expected self, amazon"),
        (("--owner", "\uff11" * 12), "or the 12 digits"),
        (("--executable-by", "1234"), "--executable-by '1234': expected self, all or the 12"),
        (("--created-after", "yesterday"), "--created-after 'yesterday': expected a date"),
        (("--created-before", "0001-01-01T00:00+10:00"), "expected a date"),
        (("--tag", "=x"), "--tag '=x': expected KEY or KEY=VALUE"),
        (("--name", "\udcff"), "filter 'name': expected UTF-8"),
        (("--filters", "Name=x"), "--filters: expected Name=NAME,Values="),
        (("--filters", "Name=x,Values=[]"), "--filters: expected Name=NAME,Values="),
        (("--filters", "Name=x,Values=y,Other=z"), "--filters: expected Name=NAME,Values="),
        (("--filters", '[{"Name": "x", "Values": [1]}]'), "--filters: expected Name=NAME,Values="),
        (("--filters", "[1]"), "--filters: expected Name=NAME,Values=VALUE,..., got 1"),
        (("--filters", "Name=x,Values=[y"), r"--filters: shorthand 'Name=x,Values=\[y': expected"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read(*words)


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (b"\xff", InputError, "--filters: read .*f.json: expected UTF-8"),
        (b" " * (1 << 20) + b"1", InputError, "expected at most 1048576 bytes"),
        (b"Name", UsageError, "--filters: shorthand 'Name': expected '='"),
        (None, MissingError, "--filters: read .*f.json"),
    ],
)
def test_files(
    tmp_path: Path, content: bytes | None, error: type[BundlerError], reason: str
) -> None:
    path = tmp_path / "f.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=reason):
        read("--filters", f"file://{path}")
