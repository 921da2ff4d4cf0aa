"""Who may launch an AMI."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from bundler.errors import UsageError


class PermissionKind(StrEnum):
    """Kinds of launch permissions (ModifyImageAttribute, `LaunchPermission`)."""

    ACCOUNT = "account"
    ORGANIZATION = "organization"
    ORGANIZATIONAL_UNIT = "organizational-unit"
    GROUP = "group"


EVERYBODY = "all"
"""The one group that there is."""

_ELEMENTS = {
    PermissionKind.ACCOUNT: "UserId",
    PermissionKind.ORGANIZATION: "OrganizationArn",
    PermissionKind.ORGANIZATIONAL_UNIT: "OrganizationalUnitArn",
    PermissionKind.GROUP: "Group",
}

_ARN = r"arn:aws[a-z-]*:organizations::[0-9]{12}:"

_RULES = {
    PermissionKind.ACCOUNT: (r"[0-9]{12}", "the 12 digits of an account"),
    PermissionKind.ORGANIZATION: (
        _ARN + r"organization/o-[a-z0-9]{10,32}",
        "an ARN such as arn:aws:organizations::123456789012:organization/o-abcdefghij (aws "
        "organizations describe-organization tells it)",
    ),
    PermissionKind.ORGANIZATIONAL_UNIT: (
        _ARN + r"ou/o-[a-z0-9]{10,32}/ou-[a-z0-9]{4,32}-[a-z0-9]{8,32}",
        "an ARN such as arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678 "
        "(aws organizations list-organizational-units-for-parent tells it)",
    ),
    PermissionKind.GROUP: (EVERYBODY, EVERYBODY),
}
"""What ids look like.  Source: AWS Organizations API reference, the patterns of `Arn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPermission:
    """One of those who may launch an AMI."""

    kind: PermissionKind
    who: str
    """12 digits, an ARN, or "all"."""

    @classmethod
    def parse(cls, kind: PermissionKind, who: str) -> Self:
        """A permission by what a person wrote; blanks and hyphens in accounts stay out.

        Raises:
            UsageError: not what ids of that kind look like.
        """
        if kind is PermissionKind.ACCOUNT:
            who = re.sub(r"(?<=[0-9])[- ](?=[0-9])", "", who)
        pattern, expected = _RULES[kind]
        if not re.fullmatch(pattern, who, re.ASCII):
            raise UsageError(f"--{kind.value} {who!r}: expected {expected}")
        return cls(kind=kind, who=who)

    @property
    def element(self) -> dict[str, str]:
        """As ModifyImageAttribute takes it."""
        return {_ELEMENTS[self.kind]: self.who}

    def describe(self) -> str:
        """For people: ``account 123456789012``."""
        return f"{self.kind.value} {self.who}"


def read_permission(element: dict[str, str]) -> LaunchPermission | None:
    """A permission as DescribeImageAttribute tells it; None for a kind that is not known."""
    for kind, name in _ELEMENTS.items():
        if name in element:
            return LaunchPermission(kind=kind, who=element[name])
    return None
