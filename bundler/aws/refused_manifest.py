"""InvalidManifest and its relatives: one code for many causes, told apart by EC2's words."""

import re

_UPLOAD = "ami-bundler upload sends it again with the ACL aws-exec-read (--enable-acls)"

_CAUSES = (
    (
        r"HTTP 301|Moved Permanently|PermanentRedirect|AuthorizationHeaderMalformed",
        "the bucket is in another region: register there (--region), or take the bundle to this "
        "one (ami-bundler migrate)",
    ),
    (
        r"HTTP 307|Temporary Redirect",
        "the bucket is new: try again in an hour",
    ),
    (
        r"HTTP 403|Forbidden|Access ?Denied",
        "EC2 may not read the manifest: it needs the ACL aws-exec-read, in a bucket that takes "
        f"ACLs; {_UPLOAD}",
    ),
    (
        r"HTTP 404|Not Found|NoSuch(Key|Bucket)",
        "there is no such object: check bucket, prefix and name (ami-bundler ls), and that the "
        "upload has ended",
    ),
    (
        r"HTTP 5\d\d|Service Unavailable|Slow ?Down",
        "EC2 could not read the manifest just now: try again",
    ),
    (
        r"decrypt|cipher|ec2_encrypted_key|encrypt(ed|ion) key",
        "EC2 cannot unwrap the bundle's key: it was wrapped for the EC2 certificate of another "
        "partition; ami-bundler migrate wraps it anew",
    ),
    (
        r"signature|digest|checksum|tamper",
        "the manifest was changed after it was signed, or damaged: ami-bundler verify tells "
        "which, and it must be bundled or uploaded again",
    ),
    (
        r"kernel|ramdisk|\ba[kr]i-",
        "check the kernel and ramdisk: they are of one region, for paravirtual AMIs only, and "
        "sometimes cannot be read for a moment (try again)",
    ),
    (
        r"device|block.?device|mapping|ephemeral",
        "check the device names of the block device mapping, such as /dev/sda1 or sdb "
        "(ami-bundler inspect shows the manifest's)",
    ),
    (
        r"product.?code",
        "the bundle has product codes that are not the caller's: bundle it without them",
    ),
    (
        r"pars|xml|schema|version|malformed",
        "EC2 cannot parse the manifest: ami-bundler inspect tells what is wrong in it",
    ),
)
"""Patterns of EC2's words, and what they mean; the first that is found holds."""

MANIFEST_CODES = frozenset(("InvalidManifest", "InaccessibleStorageLocation"))
"""Codes by which EC2 refuses what lies in S3.  Source: Amazon EC2 API, error codes."""


def manifest_remedy(words: str) -> str:
    """What EC2's words about a manifest mean and what helps; empty when they are unknown.

    The URL in them is not looked at: a bucket's name may be 404-images.
    """
    told = re.sub(r"\bhttps?://\S+", " ", words)
    for pattern, remedy in _CAUSES:
        if re.search(pattern, told, re.IGNORECASE):
            return remedy
    return ""
