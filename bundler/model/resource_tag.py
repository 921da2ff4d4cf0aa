"""Tags of EC2's resources, and of S3's buckets, for which the same rules hold."""

import re
from collections.abc import Iterable, Sequence

from bundler.errors import UsageError
from bundler.model.image import is_text

Tag = tuple[str, str]
"""Key and value."""

MAX_TAG_COUNT = 50
"""Most tags of a resource.  Source: Amazon EC2 user guide, tag restrictions."""

_SHORTHAND = re.compile(r"Key=([^,]*),Value=(.*)", re.DOTALL)

MAX_KEY_LENGTH = 128
MAX_VALUE_LENGTH = 256
"""Most characters of each.  Source: as above."""


def parse_tags(words: Sequence[str], option: str = "--tag") -> tuple[Tag, ...]:
    """Parse ``KEY=VALUE`` words; the value may be empty and may hold further equals signs.

    A word ``Key=KEY,Value=VALUE`` is the same: so the AWS CLI's shorthand has it.

    Raises:
        UsageError: one is not of that form, breaks EC2's rules, or a key is there twice.
    """
    tags: dict[str, str] = {}
    for word in words:
        match = _SHORTHAND.fullmatch(word)
        key, equals, value = (match[1], "=", match[2]) if match else word.partition("=")
        if not key or not equals or not is_text(word):
            raise UsageError(f"{option} {word!r}: expected KEY=VALUE")
        if key.lower().startswith("aws:"):
            raise UsageError(f"{option} {word!r}: keys that begin with aws: are AWS's own")
        if len(key) > MAX_KEY_LENGTH or len(value) > MAX_VALUE_LENGTH:
            raise UsageError(
                f"{option} {key[:20]!r}...: expected at most {MAX_KEY_LENGTH} characters of key "
                f"and {MAX_VALUE_LENGTH} of value"
            )
        if key in tags:
            raise UsageError(f"{option} {word!r}: the key {key!r} is there twice")
        tags[key] = value
    if len(tags) > MAX_TAG_COUNT:
        raise UsageError(f"{option}: expected at most {MAX_TAG_COUNT} tags, got {len(tags)}")
    return tuple(tags.items())


def tag_elements(tags: Iterable[Tag]) -> list[dict[str, str]]:
    """Tags as AWS's APIs take them."""
    return [{"Key": key, "Value": value} for key, value in tags]


def tag_specifications(tags: Sequence[Tag], *kinds: str) -> dict[str, object]:
    """EC2's parameter that tags what is made, of these kinds of resources; none without tags."""
    if not tags:
        return {}
    pairs = tag_elements(tags)
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": pairs} for kind in kinds]}
