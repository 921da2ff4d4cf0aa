"""What only a try tells: S3's clock, and whether an object goes away again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bundler.aws.errors import clock_skew
from bundler.aws.transport import Transport
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def measure_skew(client: "S3Client", bucket: str, transport: Transport) -> float | None:
    """Seconds that this machine's clock is ahead of S3's; None when S3 does not tell.

    By the Date of a reply to HeadBucket: a refusal, which a wrong clock earns, has one too.

    Raises:
        TransferError: S3 cannot be reached.
    """

    def ask() -> Mapping[str, Any]:
        try:
            return client.head_bucket(Bucket=bucket)
        except ClientError as error:
            return error.response

    return clock_skew(transport.call(f"ask S3 for the time by s3://{bucket}", ask))


def remove_versions(client: "S3Client", location: ImageLocation, transport: Transport) -> None:
    """Remove all that a versioned bucket keeps of one object, delete markers too.

    Raises:
        AwsRefusedError: S3 refused.
        TransferError: S3 cannot be reached.
    """
    subject = f"remove all versions of {location.url}"

    def remove() -> None:
        reply = client.list_object_versions(Bucket=location.bucket, Prefix=location.key)
        found = [(item["Key"], item["VersionId"]) for item in reply.get("Versions", [])]
        found += [(item["Key"], item["VersionId"]) for item in reply.get("DeleteMarkers", [])]
        for key, version in found:
            if key == location.key:
                client.delete_object(Bucket=location.bucket, Key=key, VersionId=version)

    transport.call(subject, remove)
