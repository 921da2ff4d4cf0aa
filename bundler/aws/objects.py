"""Requests about single objects of S3, by their full location: retried, translated, bounded."""

import threading
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bundler.aws.errors import refusal
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, TransferError
from bundler.model.digest import SHA1_SIZE
from bundler.model.image import ImageLocation
from bundler.model.stored import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CopyObjectOutputTypeDef,
        CopyObjectRequestTypeDef,
        GetObjectOutputTypeDef,
        GetObjectRequestTypeDef,
        ListMultipartUploadsOutputTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
        PutObjectAclRequestTypeDef,
        PutObjectOutputTypeDef,
        PutObjectRequestTypeDef,
    )

_AWS = ".amazonaws."
"""In the host names of S3's own endpoints, in all partitions that EC2's keys are known of."""

MAX_DELETE_COUNT = 1000
"""Most keys of one DeleteObjects request.  Source: DeleteObjects."""


class S3Objects:
    """A client of S3, with the transport that all its requests share."""

    def __init__(self, client: "S3Client", transport: Transport) -> None:
        self.client = client
        self.transport = transport
        self.checks_digests = _AWS in (urlsplit(client.meta.endpoint_url).hostname or "")
        """Whether the service is known to compare an object with the SHA-1 that is sent."""
        copy_shape = client.meta.service_model.operation_model("CopyObject").input_shape
        self.takes_conditional_copies = (
            self.checks_digests and copy_shape is not None and "IfNoneMatch" in copy_shape.members
        )
        """Whether CopyObject can be told to replace nothing: not of other servers, as far as we
        have seen, nor with a boto3 of before 2025."""

    def put(self, request: "PutObjectRequestTypeDef") -> "PutObjectOutputTypeDef":
        """PutObject, once."""
        return self.client.put_object(**request)

    def copy(self, request: "CopyObjectRequestTypeDef") -> "CopyObjectOutputTypeDef":
        """CopyObject, once."""
        return self.client.copy_object(**request)

    def get(self, request: "GetObjectRequestTypeDef") -> "GetObjectOutputTypeDef":
        """GetObject, once."""
        return self.client.get_object(**request)

    def head(
        self, location: ImageLocation, *, stopped: threading.Event | None = None
    ) -> StoredObject | None:
        """HeadObject; None when there is no such object.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        try:
            reply = self.transport.call(
                f"look at {location.url}",
                lambda: self.client.head_object(
                    Bucket=location.bucket, Key=location.key, ChecksumMode="ENABLED"
                ),
                stopped=stopped,
            )
        except AwsRefusedError as error:
            if error.code == "NotFound":
                return None
            raise
        return described(location.key, reply["ContentLength"], reply)

    def set_acl(self, location: ImageLocation, acl: str, *, stopped: threading.Event) -> None:
        """PutObjectAcl: a canned ACL, such as aws-exec-read.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        request: PutObjectAclRequestTypeDef = {"Bucket": location.bucket, "Key": location.key}
        request["ACL"] = acl  # type: ignore[typeddict-item]  # a text of the user's
        self.transport.call(
            f"set the ACL of {location.url} to {acl}",
            lambda: self.client.put_object_acl(**request),
            stopped=stopped,
        )

    def list(self, prefix: ImageLocation, *, is_deep: bool = True) -> Iterator[StoredObject]:
        """ListObjectsV2: the objects whose key begins so, in S3's order; names are whole keys.

        Those with a slash behind the prefix are left out unless `is_deep`.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        request: ListObjectsV2RequestTypeDef = {"Bucket": prefix.bucket, "Prefix": prefix.key}
        if not is_deep:
            request["Delimiter"] = "/"
        while True:
            page = self.transport.call(f"list {prefix.url}", partial(self._list, request))
            for item in page.get("Contents", []):
                yield StoredObject(
                    name=item["Key"],
                    size=item["Size"],
                    etag=item.get("ETag", "").strip('"'),
                    storage_class=item.get("StorageClass", "STANDARD"),
                )
            if not page["IsTruncated"]:
                return
            following = page.get("NextContinuationToken", "")
            if following in ("", request.get("ContinuationToken")):
                raise TransferError(f"list {prefix.url}: S3 does not tell how to go on")
            request = {**request, "ContinuationToken": following}

    def delete(self, locations: Sequence[ImageLocation]) -> None:
        """DeleteObjects of one bucket; it is no error when there is no such object.

        Raises:
            AwsRefusedError: S3 refused; objects of earlier batches are gone.
            TransferError: S3 cannot be reached.
        """
        for start in range(0, len(locations), MAX_DELETE_COUNT):
            batch = locations[start : start + MAX_DELETE_COUNT]
            subject = f"delete {batch[0].url}"
            if len(batch) > 1:
                subject = f"{subject} and {len(batch) - 1} more"
            self.transport.call(subject, partial(self._delete, batch, subject))

    def list_uploads(self, prefix: ImageLocation) -> Iterator[tuple[str, str]]:
        """ListMultipartUploads: keys and ids of uploads that were begun and not ended.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        request: ListMultipartUploadsRequestTypeDef = {
            "Bucket": prefix.bucket,
            "Prefix": prefix.key,
        }
        while True:
            page = self.transport.call(
                f"list unfinished uploads to {prefix.url}", partial(self._list_uploads, request)
            )
            yield from ((item["Key"], item["UploadId"]) for item in page.get("Uploads", []))
            following: ListMultipartUploadsRequestTypeDef = {
                **request,
                "KeyMarker": page.get("NextKeyMarker", ""),
                "UploadIdMarker": page.get("NextUploadIdMarker", ""),
            }
            if not page.get("IsTruncated") or following == request:
                return
            request = following

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """AbortMultipartUpload; it is no error when it is over already.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        try:
            self.transport.call(
                f"abort an unfinished upload of s3://{bucket}/{key}",
                lambda: self.client.abort_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=upload_id
                ),
            )
        except AwsRefusedError as error:
            if error.code not in ("NoSuchUpload", "NotFound"):
                raise

    def _list(self, request: "ListObjectsV2RequestTypeDef") -> "ListObjectsV2OutputTypeDef":
        """One page; KeyError when it is none of S3's, which would else look like an empty one."""
        page = self.client.list_objects_v2(**request)
        _ = page["IsTruncated"], [(item["Key"], item["Size"]) for item in page.get("Contents", [])]
        return page

    def _list_uploads(
        self, request: "ListMultipartUploadsRequestTypeDef"
    ) -> "ListMultipartUploadsOutputTypeDef":
        """One page, as _list()."""
        page = self.client.list_multipart_uploads(**request)
        _ = [(item["Key"], item["UploadId"]) for item in page.get("Uploads", [])]
        return page

    def _delete(self, locations: Sequence[ImageLocation], subject: str) -> None:
        reply = self.client.delete_objects(
            Bucket=locations[0].bucket,
            Delete={"Objects": [{"Key": one.key} for one in locations], "Quiet": True},
        )
        for error in reply.get("Errors", []):
            raise refusal(subject, error.get("Code", ""), error.get("Message", ""))


def sha1_of(reply: Mapping[str, Any]) -> bytes:
    """The SHA-1 of a whole object in a reply; empty when there is none."""
    if reply.get("ChecksumType") == "COMPOSITE" or "-" in reply.get("ETag", ""):
        return b""
    try:
        sha1 = b64decode(reply.get("ChecksumSHA1", ""), validate=True)
    except (Base64Error, ValueError):  # a digest of digests ends in the number of pieces
        return b""
    return sha1 if len(sha1) == SHA1_SIZE else b""


def described(key: str, size: int, reply: Mapping[str, Any]) -> StoredObject:
    """What a reply to HeadObject, GetObject or PutObject tells of an object."""
    return StoredObject(
        name=key,
        size=size,
        etag=str(reply.get("ETag", "")).strip('"'),
        sha1=sha1_of(reply),
        storage_class=reply.get("StorageClass", "STANDARD"),
        is_kms_encrypted=str(reply.get("ServerSideEncryption", "")).startswith("aws:kms")
        or "SSECustomerAlgorithm" in reply,
    )
