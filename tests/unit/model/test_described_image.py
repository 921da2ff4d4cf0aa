"""Which AMIs a query matches, and what launch permissions look like."""

from datetime import UTC, datetime

import pytest

from bundler.errors import UsageError
from bundler.model.described_image import DescribedImage, ImageQuery, is_match
from bundler.model.image import ImageState
from bundler.model.permission import LaunchPermission, PermissionKind, read_permission

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def image(*, creation_date: str = "", location: str = "") -> DescribedImage:
    return DescribedImage(
        image_id="ami-1",
        state=ImageState.AVAILABLE,
        root_device_type="instance-store",
        location=location,
        creation_date=creation_date,
    )


@pytest.mark.parametrize(
    ("creation_date", "is_after", "is_before"),
    [
        ("2026-01-31T11:59:59.999Z", False, True),
        ("2026-01-31T12:00:00.000Z", True, False),
        ("2026-01-31T12:00:00", True, False),
        ("", False, False),
        ("no date", False, False),
        ("9999-12-31T23:59:59-23:00", False, False),
    ],
)
def test_dates(creation_date: str, *, is_after: bool, is_before: bool) -> None:
    one = image(creation_date=creation_date)
    assert ImageQuery(created_after=NOON).matches(one) is is_after
    assert ImageQuery(created_before=NOON).matches(one) is is_before


@pytest.mark.parametrize("location", ["b/web/x.manifest.xml", "/b/web/x.manifest.xml", "b/web/x/"])
def test_locations_are_compared_without_slashes_around_them(location: str) -> None:
    assert ImageQuery(location="b/web/*").matches(image(location=location))
    assert not ImageQuery(location="b/we?").matches(image(location=location))


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("a?", "ab", True),
        ("a?", "a", False),
        ("*b", "a/b", True),
        ("a*", "a", True),
        ("[a]", "a", False),
        ("[a].*", "[a].x\ny", True),
    ],
)
def test_patterns(pattern: str, text: str, *, expected: bool) -> None:
    assert is_match(pattern, text) is expected


ORGANIZATION = "arn:aws-us-gov:organizations::123456789012:organization/o-abcdefghij"
UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678"


@pytest.mark.parametrize(
    ("kind", "who", "element"),
    [
        (PermissionKind.ACCOUNT, "1111-2222-3333", {"UserId": "111122223333"}),
        (PermissionKind.ORGANIZATION, ORGANIZATION, {"OrganizationArn": ORGANIZATION}),
        (PermissionKind.ORGANIZATIONAL_UNIT, UNIT, {"OrganizationalUnitArn": UNIT}),
        (PermissionKind.GROUP, "all", {"Group": "all"}),
    ],
)
def test_permissions_there_and_back(
    kind: PermissionKind, who: str, element: dict[str, str]
) -> None:
    permission = LaunchPermission.parse(kind, who)
    assert permission.element == element
    assert read_permission(element) == permission


def test_a_permission_of_a_kind_to_come_is_left_out() -> None:
    assert read_permission({"Planet": "earth"}) is None


@pytest.mark.parametrize(
    ("kind", "who", "reason"),
    [
        (PermissionKind.ACCOUNT, "12345678901", "expected the 12 digits"),
        (PermissionKind.ACCOUNT, "", "expected the 12 digits"),
        (PermissionKind.ORGANIZATION, UNIT, "describe-organization tells it"),
        (PermissionKind.ORGANIZATIONAL_UNIT, ORGANIZATION, "organizational-units-for-parent"),
        (PermissionKind.GROUP, "some", "--group 'some': expected all"),
    ],
)
def test_who_is_nobody(kind: PermissionKind, who: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        LaunchPermission.parse(kind, who)
