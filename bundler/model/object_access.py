"""Who may read an object in S3, as far as its ACL tells."""

from collections.abc import Iterable
from enum import StrEnum


class ObjectAccess(StrEnum):
    """Who may read an object besides its owner."""

    OWNER = "owner"
    """Nobody."""
    EC2 = "ec2"
    """EC2 alone, as the ACL aws-exec-read lets it."""
    OTHERS = "others"
    """Whoever has some canonical ids, which tell no account; one of them may be EC2's."""
    EVERYBODY = "everybody"
    """Every AWS account, as the ACLs public-read and authenticated-read let them."""
    HIDDEN = "hidden"
    """The ACL may not be read."""


_RISING = (ObjectAccess.OWNER, ObjectAccess.EC2, ObjectAccess.OTHERS, ObjectAccess.EVERYBODY)


def common_access(found: Iterable[ObjectAccess]) -> ObjectAccess:
    """Who may read all of some objects: one that its owner alone can read is enough."""
    kinds = set(found)
    if ObjectAccess.HIDDEN in kinds and ObjectAccess.OWNER not in kinds:
        return ObjectAccess.HIDDEN
    return next((access for access in _RISING if access in kinds), ObjectAccess.HIDDEN)
