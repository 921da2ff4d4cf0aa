"""What the verbs need of the world; the command line passes the adapters in."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from bundler.model.digest import Digest
from bundler.model.image import Ami, ImageLocation
from bundler.model.registration import Registration


class Progress(Protocol):
    """Tells a person how far the work is."""

    def task(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin a task of `total` bytes (0: not known); call the result with bytes done."""


class PartSink(Protocol):
    """Takes the parts and the manifest of one new bundle: a directory, or S3."""

    def put_part(self, index: int, data: bytes, digest: Digest) -> None:
        """Store a part; parts come in order.

        Raises:
            HostError, AwsRefusedError, TransferError: it cannot be stored.
        """

    def part_names(self, count: int) -> tuple[str, ...]:
        """The names of the parts, once it is known how many there are."""

    def put_manifest(self, document: bytes) -> None:
        """Store the manifest when all parts are safe: the bundle is whole from now on.

        Raises:
            HostError, AwsRefusedError, TransferError: it, or a part, cannot be stored.
        """


class BundleStore(Protocol):
    """Objects below one prefix of one bucket (in production: aws/s3.py)."""

    @property
    def location(self) -> ImageLocation:
        """The bucket and prefix."""

    def prepare(self) -> None:
        """Make sure that the bucket is there, in the right region; create it if missing.

        Raises:
            AwsRefusedError: it cannot be used or created.
            TransferError: S3 cannot be reached.
        """

    def put(self, name: str, body: BinaryIO, *, sha1: bytes) -> None:
        """Send an object in the background; waits while too many are on their way.

        `body` is seekable and read from its start; the store closes it.  S3 checks the
        checksum on arrival.  The first failure of an earlier put is raised here or by flush().

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
        """

    def flush(self) -> None:
        """Wait until every object put so far has arrived.

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
        """

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it; nothing is raised."""

    def get(self, name: str) -> Iterator[bytes]:
        """Read an object in chunks.

        Raises:
            AwsRefusedError: S3 refused, or there is no such object.
            TransferError: the object did not arrive whole.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Names of the objects that begin with `prefix`.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """

    def delete(self, name: str) -> None:
        """Remove an object; it is no error when there is none.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """


class ImageRegistry(Protocol):
    """The AMIs of one region (in production: aws/ec2.py)."""

    def register(self, registration: Registration) -> str:
        """RegisterImage; the AMI's id.

        Raises:
            AwsRefusedError: EC2 refused; the usual causes are explained.
            TransferError: EC2 could not be reached.
        """

    def describe(self, image_id: str) -> Ami | None:
        """DescribeImages of one AMI; None while EC2 does not know it (yet).

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """

    def find(self, name: str) -> Ami | None:
        """DescribeImages: the AMI of this account with that name, if there is one.

        Raises:
            AwsRefusedError: EC2 refused.
            TransferError: EC2 could not be reached.
        """
