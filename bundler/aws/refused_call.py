"""Codes of EC2 with several causes, told apart by EC2's words; and rights that are lacking."""

import re

_OWNER = (
    "only the AMI's owner may do that: use the owner's credentials, or a copy of your own "
    "(ami-bundler ami copy)"
)
_PUBLIC = (
    "share it with accounts alone, or let AMIs of this region be public again (aws ec2 "
    "disable-image-block-public-access; that may take 10 minutes)"
)
_PROTECTED = (
    "ami-bundler ami protect ID --off ends the protection, at once or, where it has a cooldown, "
    "after 24 hours"
)
_STORAGE = (
    "its owner must let this account read what it is made of: the manifest and parts of an "
    "S3-backed AMI (a bucket policy with s3:GetObject and s3:GetBucketAcl), or the snapshots of an "
    "EBS-backed one"
)
_TYPE = (
    "check the instance type's name, and that the region has it (aws ec2 "
    "describe-instance-type-offerings)"
)

_CAUSES = (
    ("AuthFailure", r"not authorized for", _OWNER),
    ("OperationNotPermitted", r"public", _PUBLIC),
    ("OperationNotPermitted", r"protect", _PROTECTED),
    ("InvalidRequest", r"storage", _STORAGE),
    ("InvalidParameterValue", r"instance ?type", _TYPE),
)
"""Code, pattern of EC2's words, and what helps; the first that is found holds."""

DENIED = "UnauthorizedOperation"
"""The code of rights that are lacking.  Source: Amazon EC2 API, error codes."""

_ENCODED = re.compile(r"\s*Encoded authorization failure message:\s*(\S+)\s*$")
_ACTION = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9]+)")


def call_remedy(code: str, words: str) -> str:
    """What helps by a code's words; empty when the code alone must do."""
    for known, pattern, remedy in _CAUSES:
        if code == known and re.search(pattern, words, re.IGNORECASE):
            return remedy
    return ""


def split_denial(words: str) -> tuple[str, str]:
    """EC2's words of rights that are lacking, and the encoded message in them, if there is one."""
    found = _ENCODED.search(words)
    return (words[: found.start()], found[1]) if found else (words, "")


def denial_remedy(words: str, operation: str, *, has_encoded: bool) -> str:
    """What helps where rights are lacking: the action that a policy must allow, if it is known.

    EC2 names it in newer messages; else it is likely that of the operation, which may need
    further ones.
    """
    found = _ACTION.search(words)
    if re.search(r"explicit deny", words, re.IGNORECASE):
        remedy = f"a policy denies {found[1] if found else 'it'}: that Deny must go, no Allow helps"
    elif found:
        remedy = f"the caller's IAM policy must allow {found[1]}"
    else:
        remedy = f"the caller's IAM policy must allow it (ec2:{operation}, or what that needs)"
    if not has_encoded:
        return remedy
    return (
        f"{remedy}; all reasons: aws sts decode-authorization-message --encoded-message with "
        "the message that -v shows"
    )
