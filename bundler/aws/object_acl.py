"""Who may read an object of S3 by its ACL."""

import threading
from typing import TYPE_CHECKING

from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError
from bundler.model.image import ImageLocation
from bundler.model.object_access import ObjectAccess

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EC2_READER = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
"""EC2's canonical id in the partition aws; AWS documents it for none.

Source: GetObjectAcl of an object that was put with the ACL aws-exec-read."""

_ALL = ("/AllUsers", "/AuthenticatedUsers")
"""How the URIs of groups end to which every account belongs."""

_READING = ("READ", "FULL_CONTROL")


def find_access(
    client: "S3Client",
    location: ImageLocation,
    transport: Transport,
    *,
    stopped: threading.Event | None = None,
) -> ObjectAccess:
    """Who besides its owner may read an object (GetObjectAcl).

    Raises:
        TransferError: S3 cannot be reached.
        CancelledError: `stopped` was set meanwhile.
    """
    try:
        reply = transport.call(
            f"read the ACL of {location.url}",
            lambda: client.get_object_acl(Bucket=location.bucket, Key=location.key),
            stopped=stopped,
        )
    except AwsRefusedError:
        return ObjectAccess.HIDDEN
    readers = [
        grant.get("Grantee", {})
        for grant in reply.get("Grants", [])
        if grant.get("Permission", "") in _READING
    ]
    if any(reader.get("URI", "").endswith(_ALL) for reader in readers):
        return ObjectAccess.EVERYBODY
    owner = reply.get("Owner", {}).get("ID", "")
    others = {reader.get("ID", "") for reader in readers} - {owner}
    if not others:
        return ObjectAccess.OWNER
    return ObjectAccess.EC2 if others == {EC2_READER} else ObjectAccess.OTHERS
