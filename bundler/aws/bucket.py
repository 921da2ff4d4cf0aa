"""The bucket of a bundle: found or made, and fit for what is to be put there."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from bundler.aws.errors import error_code
from bundler.aws.remedies import REMEDIES, UNSUPPORTED_CODES
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import CreateBucketRequestTypeDef

_logger = logging.getLogger(__name__)

PUBLIC_ACL = "public-read"
"""The canned ACL that lets everybody read; block public access refuses it."""

OWNER_TAGS = {"created-by": "ami-bundler"}
"""Tags of a bucket that we create, besides the user's."""

_REGION_WITHOUT_CONSTRAINT = "us-east-1"
"""Where CreateBucket refuses a LocationConstraint; elsewhere it wants one."""


class S3Bucket:
    """One bucket, its name or an access point's ARN."""

    def __init__(self, client: "S3Client", name: str, transport: Transport | None = None) -> None:
        self._client = client
        self._transport = transport or Transport()
        self.name = name

    @property
    def url(self) -> str:
        """The ``s3://`` URL."""
        return f"s3://{self.name}"

    def prepare(
        self, *, acl: str, enable_acls: bool = False, tags: Mapping[str, str] | None = None
    ) -> bool:
        """Make sure that the bucket is there, in this region, and takes `acl`; or create it.

        Whether it was created.

        Nothing is changed in a bucket that is there, but its object ownership with
        `enable_acls`.  `acl` is empty when none will be sent; `tags` are for a new bucket.

        Raises:
            AwsRefusedError: it cannot be used or created.
            TransferError: S3 cannot be reached.
        """
        if not self.check_region():
            self.create(acl=acl, tags=tags or {})
            return True
        if not acl or self.name.startswith("arn:"):
            return False
        if self.ownership() == "BucketOwnerEnforced":
            if not enable_acls:
                raise self._takes_no(acl, "its object ownership is BucketOwnerEnforced")
            self.enable_acls()
        if acl == PUBLIC_ACL and self.blocks_public_acls():
            raise self._takes_no(acl, "it blocks public access")
        return False

    def check_region(self) -> bool:
        """Whether there is such a bucket; it must be in the client's region.

        Raises:
            AwsRefusedError: it is in another region, or may not be looked at.
            TransferError: S3 cannot be reached.
        """
        wanted, found = self._client.meta.region_name, self.region()
        # Servers that are not AWS do not tell a region.
        if found and found != wanted:
            raise AwsRefusedError(
                f"look at {self.url}: expected it in {wanted}, got {found}; give that region "
                "or another bucket: EC2 knows bundles of its own region only",
                code="PermanentRedirect",
            )
        return found is not None

    def region(self) -> str | None:
        """HeadBucket: the bucket's region, empty if the server tells none; None: no bucket.

        Raises:
            AwsRefusedError: it may not be looked at.
            TransferError: S3 cannot be reached.
        """
        try:
            reply = self._call("look at", lambda: self._client.head_bucket(Bucket=self.name))
        except AwsRefusedError as error:
            if error.code == "NotFound":
                return None
            raise
        return str(reply.get("BucketRegion", ""))

    def ownership(self) -> str:
        """GetBucketOwnershipControls, such as "BucketOwnerEnforced"; empty: never set, or hidden.

        Raises:
            TransferError: S3 cannot be reached.
        """
        reply = self._look(
            "read the object ownership of",
            lambda: self._client.get_bucket_ownership_controls(Bucket=self.name),
        )
        rules = reply.get("OwnershipControls", {}).get("Rules", [])
        return str(rules[0].get("ObjectOwnership", "")) if rules else ""

    def blocks_public_acls(self) -> bool:
        """GetPublicAccessBlock: whether public ACLs are refused; False when that is hidden.

        Raises:
            TransferError: S3 cannot be reached.
        """
        reply = self._look(
            "read the public access block of",
            lambda: self._client.get_public_access_block(Bucket=self.name),
        )
        return bool(reply.get("PublicAccessBlockConfiguration", {}).get("BlockPublicAcls"))

    def encryption(self) -> str:
        """GetBucketEncryption: such as "AES256" or "aws:kms"; empty: none, or hidden.

        Raises:
            TransferError: S3 cannot be reached.
        """
        reply = self._look(
            "read the encryption of",
            lambda: self._client.get_bucket_encryption(Bucket=self.name),
        )
        rules = reply.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
        default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        return str(default.get("SSEAlgorithm", ""))

    def is_versioned(self) -> bool:
        """GetBucketVersioning: whether what is deleted or overwritten is kept, and paid for.

        Raises:
            TransferError: S3 cannot be reached.
        """
        reply = self._look(
            "read the versioning of",
            lambda: self._client.get_bucket_versioning(Bucket=self.name),
        )
        return reply.get("Status") == "Enabled"

    def is_requester_paying(self) -> bool:
        """GetBucketRequestPayment: whether who reads must agree to pay; False when hidden.

        Raises:
            TransferError: S3 cannot be reached.
        """
        reply = self._look(
            "read who pays for requests to",
            lambda: self._client.get_bucket_request_payment(Bucket=self.name),
        )
        return reply.get("Payer") == "Requester"

    def enable_acls(self) -> None:
        """PutBucketOwnershipControls: objects may have ACLs, and are the bucket owner's.

        Raises:
            AwsRefusedError: the bucket is not the caller's.
            TransferError: S3 cannot be reached.
        """
        self._call(
            "enable ACLs in",
            lambda: self._client.put_bucket_ownership_controls(
                Bucket=self.name,
                OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]},
            ),
        )
        _logger.warning("set the object ownership of %s to BucketOwnerPreferred", self.url)

    def create(self, *, acl: str, tags: Mapping[str, str]) -> None:
        """CreateBucket in the client's region: private, encrypted, tagged, ready for `acl`.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        region = self._client.meta.region_name
        request: CreateBucketRequestTypeDef = {
            "Bucket": self.name,
            # Said in the same request: ACLs are off in new buckets otherwise.
            "ObjectOwnership": "BucketOwnerPreferred" if acl else "BucketOwnerEnforced",
        }
        if region != _REGION_WITHOUT_CONSTRAINT:
            constraint = cast("BucketLocationConstraintType", region)
            request["CreateBucketConfiguration"] = {"LocationConstraint": constraint}
        self._transport.call(
            f"create {self.url} in {region}", partial(_create, self._client, request)
        )
        _logger.info("created %s in %s", self.url, region)
        self._harden(acl, {**OWNER_TAGS, **tags})

    def _harden(self, acl: str, tags: Mapping[str, str]) -> None:
        """What AWS does by itself since 2023, and other servers may not know."""
        is_private = acl != PUBLIC_ACL
        steps: dict[str, Callable[[], object]] = {
            "block public access to": lambda: self._client.put_public_access_block(
                Bucket=self.name,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": is_private,
                    "IgnorePublicAcls": is_private,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            ),
            "encrypt": lambda: self._client.put_bucket_encryption(
                Bucket=self.name,
                ServerSideEncryptionConfiguration={
                    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
                },
            ),
            "tag": lambda: self._client.put_bucket_tagging(
                Bucket=self.name,
                Tagging={"TagSet": [{"Key": key, "Value": word} for key, word in tags.items()]},
            ),
        }
        for operation, step in steps.items():
            try:
                self._call(operation, step)
            except AwsRefusedError as error:
                if error.code not in UNSUPPORTED_CODES:
                    _logger.warning("%s", error)

    def _takes_no(self, acl: str, reason: str) -> AwsRefusedError:
        code = "AccessControlListNotSupported"
        return AwsRefusedError(
            f"put objects with ACL {acl} to {self.url}: {reason}, so it takes no such ACL; "
            f"{REMEDIES[code]}",
            code=code,
        )

    def _call(self, operation: str, request: Callable[[], Any]) -> Any:
        return self._transport.call(f"{operation} {self.url}", request)

    def _look(self, operation: str, request: Callable[[], Any]) -> Mapping[str, Any]:
        """A reply about what may not be set, known to the server, or ours to see: then empty."""
        try:
            reply: Mapping[str, Any] = self._call(operation, request)
        except AwsRefusedError as error:
            _logger.debug("%s", error)
            return {}
        return reply


def _create(client: "S3Client", request: "CreateBucketRequestTypeDef") -> None:
    try:
        client.create_bucket(**request)
    except ClientError as error:
        # Another process of ours was faster, or our first reply was lost.
        if error_code(error) != "BucketAlreadyOwnedByYou":
            raise
