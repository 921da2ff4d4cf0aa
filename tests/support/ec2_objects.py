"""Another server's S3, as the embedded EC2 reads it: over HTTP."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from bundler.embedded.objects import FoundObject
from bundler.errors import MissingError
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Objects:
    """An ObjectReader by a client; the server knows no ACL for EC2."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client
        self._regions: dict[str, str] = {}

    def find(self, location: ImageLocation) -> FoundObject | None:
        try:
            head = self._client.head_object(Bucket=location.bucket, Key=location.key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        region = self._region(location.bucket)
        return FoundObject(region=region, size=head["ContentLength"], is_readable=True)

    def _region(self, bucket: str) -> str:
        """A bucket's region, asked for once: a manifest has many parts."""
        if bucket not in self._regions:
            place = self._client.get_bucket_location(Bucket=bucket).get("LocationConstraint")
            self._regions[bucket] = place or "us-east-1"
        return self._regions[bucket]

    def read(self, location: ImageLocation) -> bytes:
        try:
            answer = self._client.get_object(Bucket=location.bucket, Key=location.key)
        except ClientError as error:
            raise MissingError(f"read {location.url}: the object is gone") from error
        return answer["Body"].read()
