"""Objects copied within S3 (CopyObject): nothing of them passes through this machine."""

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bundler.aws.objects import S3Objects, sha1_of
from bundler.aws.outgoing import in_the_way
from bundler.errors import AwsRefusedError, TransferError, VerificationError
from bundler.model.image import ImageLocation
from bundler.model.stored import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CopyObjectRequestTypeDef

STREAM_REMEDY = (
    "the caller must be allowed to read the source and to write here at once; --stream reads "
    "with the source's credentials and writes with the destination's"
)
"""What helps where S3 denies a copy: the two buckets are often of two accounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One object to copy."""

    source: ImageLocation
    location: ImageLocation
    sha1: bytes
    stored: StoredObject
    """What S3 tells of the source."""
    only_new: bool = False
    """Whether no other object may be replaced."""

    @property
    def subject(self) -> str:
        """Operation and subject for messages."""
        return f"copy {self.source.url} to {self.location.url}"


def find_copy(objects: S3Objects, copy: Copy, *, stopped: threading.Event) -> StoredObject | None:
    """The copy that an earlier run has made; None when there is none that is whole.

    Raises:
        AwsRefusedError: S3 refused.
        TransferError: S3 cannot be reached.
    """
    there = objects.head(copy.location, stopped=stopped)
    is_whole = there is not None and there.is_copy_of(copy.stored, sha1=copy.sha1)
    return there if is_whole else None


def copy_object(objects: S3Objects, copy: Copy, *, acl: str, stopped: threading.Event) -> bool:
    """Copy an object and check the copy; whether its SHA-1 is proven.

    S3 computes the copy's SHA-1.  Servers that know none must at least tell the source's size
    and MD5; what they copied is then as good as the source, which nobody has read.

    Raises:
        VerificationError: the copy is not what it must be.
        ExistsError: it must be new, and another object has its name.
        AwsRefusedError: S3 refused.
        TransferError: S3 cannot be reached.
    """
    is_conditional = copy.only_new and objects.takes_conditional_copies
    if copy.only_new and not is_conditional and objects.head(copy.location, stopped=stopped):
        raise in_the_way(copy.subject)
    request: CopyObjectRequestTypeDef = {
        "Bucket": copy.location.bucket,
        "Key": copy.location.key,
        "CopySource": {"Bucket": copy.source.bucket, "Key": copy.source.key},
        "ChecksumAlgorithm": "SHA1",
    }
    if acl:
        request["ACL"] = acl  # type: ignore[typeddict-item]  # a text of the user's
    if is_conditional:
        request["IfNoneMatch"] = "*"
    try:
        reply = objects.transport.call(copy.subject, lambda: objects.copy(request), stopped=stopped)
    except AwsRefusedError as error:
        if error.code == "PreconditionFailed":
            # Our own first request may have arrived, and its reply been lost.
            there = find_copy(objects, copy, stopped=stopped)
            if there is None:
                raise in_the_way(copy.subject) from error
            return bool(there.sha1)
        if error.code != "AccessDenied":
            raise
        raise AwsRefusedError(f"{error}; {STREAM_REMEDY}", code=error.code) from error
    told = sha1_of(reply.get("CopyObjectResult", {}))
    if not told:
        _check_likeness(objects, copy, stopped)
    elif told != copy.sha1:
        raise VerificationError(
            f"{copy.subject}: expected SHA1 {copy.sha1.hex()}, got {told.hex()}"
        )
    return bool(told)


def _check_likeness(objects: S3Objects, copy: Copy, stopped: threading.Event) -> None:
    """Compare the copy with its source as far as the server tells of them."""
    there = objects.head(copy.location, stopped=stopped)
    if there is None:
        raise TransferError(f"{copy.subject}: the server says it is done, but there is no copy")
    if there.size != copy.stored.size:
        raise VerificationError(
            f"{copy.subject}: expected {copy.stored.size} bytes, got {there.size}"
        )
    if there.md5 and copy.stored.md5 and there.md5 != copy.stored.md5:
        raise VerificationError(f"{copy.subject}: expected MD5 {copy.stored.md5}, got {there.md5}")
