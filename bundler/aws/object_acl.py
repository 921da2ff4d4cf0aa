"""Who may read an object of S3 by its ACL."""

from typing import TYPE_CHECKING

from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_READING = ("READ", "FULL_CONTROL")


def is_shared(client: "S3Client", location: ImageLocation, transport: Transport) -> bool | None:
    """Whether somebody besides its owner may read an object (GetObjectAcl); None: hidden.

    The ACL aws-exec-read gives that to EC2, whose canonical id AWS tells for no partition: so
    that it is EC2, and not somebody else, is not checked.

    Raises:
        TransferError: S3 cannot be reached.
    """
    try:
        reply = transport.call(
            f"read the ACL of {location.url}",
            lambda: client.get_object_acl(Bucket=location.bucket, Key=location.key),
        )
    except AwsRefusedError:
        return None
    owner = reply.get("Owner", {}).get("ID", "")
    return any(
        grant.get("Permission", "") in _READING and grant.get("Grantee", {}).get("ID", "") != owner
        for grant in reply.get("Grants", [])
    )
