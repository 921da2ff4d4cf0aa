"""moto's S3, taught the ACL by which EC2 reads bundles."""

import json
from fnmatch import fnmatchcase
from typing import Any

from moto.core.common_types import TYPE_RESPONSE
from moto.s3.exceptions import S3ClientError
from moto.s3.models import (
    AUTHENTICATED_USERS_GRANTEE,
    FakeAcl,
    FakeGrant,
    FakeGrantee,
    FakeKey,
    get_canned_acl,
    s3_backends,
)
from moto.s3.responses import S3Response
from moto.utilities.utils import get_partition

from bundler.embedded.objects import FoundObject
from bundler.errors import MissingError
from bundler.model.image import ImageLocation

EXEC_READ = "aws-exec-read"
"""The canned ACL that lets EC2 read."""

EC2_READER = FakeGrantee(
    grantee_id="6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c",
    display_name="za-team",
)
"""Whom that ACL grants READ.  Source: GetObjectAcl of an object that has it."""


class EmbeddedS3Response(S3Response):
    """moto's answers, but that ACLs are obeyed: aws-exec-read, those in bodies, and none at all."""

    def _acl_from_headers(self, headers: dict[str, str]) -> FakeAcl | None:
        acl = super()._acl_from_headers(headers)
        canned = headers.get("x-amz-acl")
        if acl is not None and canned != "bucket-owner-full-control":
            self._check_takes_acls()
        if acl is not None and canned == EXEC_READ:
            acl.grants.append(FakeGrant([EC2_READER], ["READ"]))
        return acl

    def _check_takes_acls(self) -> None:
        bucket = self.backend.buckets.get(self.bucket_name)
        rule: object = bucket.ownership_rule if bucket else None
        if rule == "BucketOwnerEnforced":
            raise S3ClientError("AccessControlListNotSupported", "The bucket does not allow ACLs")

    def put_object_acl(self) -> TYPE_RESPONSE:
        """PutObjectAcl: moto itself takes only what headers say."""
        status, headers, body = super().put_object_acl()
        if self.body and self._acl_from_headers(self.headers) is None:
            self._check_takes_acls()
            acl = self._acl_from_body()
            self.backend.put_object_acl(self.bucket_name, self.parse_key_name(), acl)
        return status, headers, body


class EmbeddedObjects:
    """The ObjectReader of moto's S3, in this process."""

    def find(self, location: ImageLocation) -> FoundObject | None:
        """Look at an object."""
        place = s3_backends.bucket_accounts.get(location.bucket)
        if place is None:
            return None
        partition, account = place
        bucket = s3_backends[account][partition].buckets[location.bucket]
        key = bucket.keys.get(location.key)
        if not isinstance(key, FakeKey):  # a delete marker is none
            return None
        is_readable = key.acl is not None and _is_readable(key.acl)
        return FoundObject(
            region=bucket.region_name,
            size=key.size,
            is_readable=is_readable,
            is_denied=_is_denied(bucket.policy or b"", location),
        )

    def read(self, location: ImageLocation) -> bytes:
        """The object's bytes."""
        partition, account = s3_backends.bucket_accounts[location.bucket]
        bucket = s3_backends[account][partition].buckets[location.bucket]
        key = bucket.keys.get(location.key)
        if not isinstance(key, FakeKey):
            raise MissingError(f"read {location.url}: the object is gone")
        return bytes(key.value)


def ensure_bucket(name: str, account: str, region: str) -> None:
    """Make a bucket that takes ACLs, if it is not there, as EC2 does for copies of AMIs."""
    backend = s3_backends[account][get_partition(region)]
    if name not in backend.buckets:
        backend.create_bucket(name, region)
        rule: Any = "BucketOwnerPreferred"
        backend.put_bucket_ownership_controls(name, rule)


def copy_readable(source: ImageLocation, target: ImageLocation) -> None:
    """Copy an object so that EC2 can read the copy."""
    partition, account = s3_backends.bucket_accounts[target.bucket]
    data = EmbeddedObjects().read(source)
    key = s3_backends[account][partition].put_object(target.bucket, target.key, data)
    acl = get_canned_acl("private")
    acl.grants.append(FakeGrant([EC2_READER], ["READ"]))
    key.set_acl(acl)


def is_open_to_accounts(location: ImageLocation) -> bool:
    """Whether the ACL of an object lets every account read it."""
    partition, account = s3_backends.bucket_accounts[location.bucket]
    key = s3_backends[account][partition].buckets[location.bucket].keys.get(location.key)
    if not isinstance(key, FakeKey) or key.acl is None:
        return False
    return key.acl.public_read or any(
        AUTHENTICATED_USERS_GRANTEE in grant.grantees and "READ" in grant.permissions
        for grant in key.acl.grants
    )


def _is_denied(policy: bytes, location: ImageLocation) -> bool:
    """Whether a bucket's policy denies EC2 an object.

    Principals and conditions are not looked at: a Deny of all but one's own accounts or
    networks leaves EC2 outside, too.
    """
    statements = json.loads(policy)["Statement"] if policy else []
    return any(
        statement["Effect"] == "Deny"
        and any(fnmatchcase("s3:GetObject", action) for action in _words(statement, "Action"))
        and any(
            fnmatchcase(f"arn:aws:s3:::{location.path}", resource)
            for resource in _words(statement, "Resource")
        )
        for statement in statements
    )


def _words(statement: dict[str, Any], name: str) -> list[str]:
    """An element of a policy that is a text, or a list of them."""
    value = statement.get(name, [])
    return [value] if isinstance(value, str) else value


def _is_readable(acl: FakeAcl) -> bool:
    return acl.public_read or any(
        EC2_READER.id in (grantee.id for grantee in grant.grantees)
        and {"READ", "FULL_CONTROL"} & set(grant.permissions)
        for grant in acl.grants
    )
