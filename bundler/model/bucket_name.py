"""Names that S3 takes for new buckets; old buckets may have others."""

import re

from bundler.errors import UsageError

_FORM = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}")
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
# Source: Amazon S3 user guide, general purpose bucket naming rules.


def check_new_bucket_name(name: str) -> None:
    """Refuse a name that CreateBucket would refuse.

    Raises:
        UsageError: it breaks S3's rules.
    """
    if not _FORM.fullmatch(name):
        problem = (
            "expected 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit "
            "at each end"
        )
    elif ".." in name or _ADDRESS.fullmatch(name):
        problem = "expected no two dots in a row, and no IP address"
    elif name.startswith(_PREFIXES) or name.endswith(_SUFFIXES):
        problem = "S3 keeps names of that beginning or end for itself"
    else:
        return
    raise UsageError(f"create s3://{name}: {problem}")
