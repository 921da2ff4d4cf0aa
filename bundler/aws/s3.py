"""Bundle store: objects below one prefix of one bucket."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, cast

import urllib3.exceptions
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from s3transfer.manager import TransferConfig

from bundler.aws.errors import error_code, translated
from bundler.aws.remedies import REMEDIES
from bundler.aws.upload import MAX_IN_FLIGHT, UploadQueue, transfer_config
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import CreateBucketRequestTypeDef, GetObjectRequestTypeDef

ACL = "aws-exec-read"
"""Canned ACL that lets EC2 read bundles.  Source: S3 user guide, canned ACL."""

NO_ACL = "none"
"""Said instead of an ACL where none is to be sent: the bucket takes none."""

READ_SIZE = 1024 * 1024
"""Bytes of a chunk that get() gives, at most."""

READ_ATTEMPTS = 5
"""Times that get() asks for the rest of one object after its stream broke.  Our choice."""


class S3BundleStore:
    """The BundleStore of workflow/ports.py, by S3; put(), flush() and cancel() are one thread's.

    `acl` is sent with each object unless it is empty or "none"; `progress` is called with
    the bytes sent (negative when bytes must be sent again), from other threads.
    """

    def __init__(
        self,
        client: "S3Client",
        location: ImageLocation,
        *,
        acl: str = ACL,
        max_in_flight: int = MAX_IN_FLIGHT,
        config: TransferConfig | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self._client = client
        self._location = location
        self._acl = "" if acl == NO_ACL else acl
        self._uploads = UploadQueue(
            client,
            acl=self._acl,
            config=config or transfer_config(),
            max_in_flight=max_in_flight,
            progress=progress,
        )

    @property
    def location(self) -> ImageLocation:
        """The bucket and prefix."""
        return self._location

    def prepare(self) -> None:
        """Make sure that the bucket is there, in this region, and takes the ACL; or create it.

        Raises:
            AwsRefusedError: it cannot be used or created.
            TransferError: S3 cannot be reached.
        """
        region = self._client.meta.region_name
        bucket = self._location.bucket
        try:
            with translated(f"look at s3://{bucket}"):
                found = self._client.head_bucket(Bucket=bucket).get("BucketRegion", "")
        except AwsRefusedError as error:
            if error.code != "NotFound":
                raise
            self._create_bucket(region)
            return
        # Servers that are not AWS do not tell a region.
        if found and found != region:
            raise AwsRefusedError(
                f"look at s3://{bucket}: expected it in {region}, got {found}; give that region "
                "or another bucket: EC2 registers bundles of its own region only",
                code="PermanentRedirect",
            )
        if self._acl:
            self._check_acls_are_on()

    def put(self, name: str, body: BinaryIO, *, sha1: bytes) -> None:
        """Send an object in the background; waits while too many are on their way.

        S3 checks the SHA-1, or the CRC-32 of what is sent in pieces.

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
            HostError: a body could not be read.
            RuntimeError: an earlier call has failed, or cancel() was called.
        """
        self._uploads.put(self._location.join(name), body, sha1=sha1)

    def flush(self) -> None:
        """Wait until every object put so far has arrived.

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
            HostError: a body could not be read.
            RuntimeError: an earlier call has failed, or cancel() was called.
        """
        self._uploads.flush()

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it; nothing is raised."""
        self._uploads.cancel()

    def get(self, name: str) -> Iterator[bytes]:
        """Read an object in chunks of at most READ_SIZE bytes; a broken stream is taken up again.

        Raises:
            AwsRefusedError: S3 refused, or there is no such object.
            TransferError: the object did not arrive whole.
        """
        location = self._location.join(name)
        with translated(f"get {location.url}"):
            yield from self._read(location)

    def list(self, prefix: str) -> Iterator[str]:
        """Names of the objects that begin with `prefix`, in S3's order.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        location = self._location.join(prefix)
        skipped = len(location.key) - len(prefix)
        with translated(f"list {location.url}"):
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=location.bucket, Prefix=location.key):
                for item in page.get("Contents", []):
                    yield item["Key"][skipped:]

    def delete(self, name: str) -> None:
        """Remove an object; it is no error when there is none.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        location = self._location.join(name)
        with translated(f"delete {location.url}"):
            self._client.delete_object(Bucket=location.bucket, Key=location.key)

    def _read(self, location: ImageLocation) -> Iterator[bytes]:
        request: GetObjectRequestTypeDef = {"Bucket": location.bucket, "Key": location.key}
        offset = 0
        for attempts_left in reversed(range(READ_ATTEMPTS)):
            response = self._client.get_object(**request)
            if offset and not response.get("ContentRange", "").startswith(f"bytes {offset}-"):
                raise TransferError(f"get {location.url}: the server cannot go on at {offset}")
            with closing(response["Body"]) as body:
                try:
                    while chunk := body.read(READ_SIZE):
                        offset += len(chunk)
                        yield chunk
                    return
                except _BROKEN_STREAM:
                    if not attempts_left:
                        raise
            # The rest, and of the same object: another may have taken its place.
            if offset:
                request["Range"] = f"bytes={offset}-"
                request["IfMatch"] = response["ETag"]

    def _create_bucket(self, region: str) -> None:
        request: CreateBucketRequestTypeDef = {"Bucket": self._location.bucket}
        if region != _REGION_WITHOUT_CONSTRAINT:
            constraint = cast("BucketLocationConstraintType", region)
            request["CreateBucketConfiguration"] = {"LocationConstraint": constraint}
        if self._acl:
            # New buckets take no ACLs otherwise; they still are private.
            request["ObjectOwnership"] = "BucketOwnerPreferred"
        with translated(f"create s3://{self._location.bucket} in {region}"):
            try:
                self._client.create_bucket(**request)
            except ClientError as error:
                # Another process of ours was faster, or our first reply was lost.
                if error_code(error) != "BucketAlreadyOwnedByYou":
                    raise

    def _check_acls_are_on(self) -> None:
        bucket = self._location.bucket
        try:
            with translated(f"read the object ownership of s3://{bucket}"):
                reply = self._client.get_bucket_ownership_controls(Bucket=bucket)
                rules = reply["OwnershipControls"]["Rules"]
        except AwsRefusedError:
            # Never set (ACLs are on), or not for us to know: then put() will tell.
            return
        if any(rule["ObjectOwnership"] == "BucketOwnerEnforced" for rule in rules):
            code = "AccessControlListNotSupported"
            raise AwsRefusedError(
                f"put objects with ACL {self._acl} to s3://{bucket}: its object ownership is "
                f"BucketOwnerEnforced, so it takes no ACL; {REMEDIES[code]}",
                code=code,
            )


_REGION_WITHOUT_CONSTRAINT = "us-east-1"
"""Where CreateBucket refuses a LocationConstraint; elsewhere it wants one."""

_BROKEN_STREAM = (
    HTTPClientError,
    IncompleteReadError,
    urllib3.exceptions.HTTPError,
    ConnectionError,
    TimeoutError,
)
"""What a stream that ends early raises."""
