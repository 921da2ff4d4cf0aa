"""What the verbs need of the world; the command line passes the adapters in."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from bundler.model.digest import Digest
from bundler.model.image import Ami, ImageLocation
from bundler.model.registration import Registration
from bundler.model.stored import StoredObject

Advance = Callable[[int], object]
"""Told of bytes done, from any thread; negative when they must be done again."""


class Progress(Protocol):
    """Tells a person how far the work is."""

    def task(self, label: str, total: int, *, unit: str = "B") -> AbstractContextManager[Advance]:
        """Begin a task of `total` bytes, or `unit`; 0: not known.  Call the result with those."""


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


class BundleReader(Protocol):
    """Objects below one prefix of one bucket, to be read (in production: aws/s3.py).

    Whoever implements it retries what may pass; fetch() and head() are for many threads.
    """

    @property
    def location(self) -> ImageLocation:
        """The bucket and prefix."""

    @property
    def concurrency(self) -> int:
        """Objects that may be read side by side."""

    def read(self, name: str, *, limit: int) -> bytes:
        """The bytes of an object of at most `limit` bytes.

        Raises:
            InputError: it is larger.
            AwsRefusedError: S3 refused, or there is no such object.
            TransferError: the object did not arrive whole.
        """

    def fetch(
        self,
        name: str,
        file: BinaryIO,
        *,
        sha1: bytes,
        limit: int,
        advance: Advance,
    ) -> int:
        """Write an object with that SHA-1 into an empty file; its size in bytes.

        `advance` is called with bytes read, negative when they must be read again.  After a
        failure the file has anything.

        Raises:
            VerificationError: it has another SHA-1, or more than `limit` bytes.
            AwsRefusedError: S3 refused, or there is no such object.
            TransferError: the object did not arrive whole.
            OSError: the file cannot be written.
        """

    def head(self, name: str) -> StoredObject | None:
        """What S3 tells of an object now; None when there is none.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """

    def list(self, prefix: str, *, is_deep: bool = True) -> Iterator[StoredObject]:
        """The objects whose name begins with `prefix`; what is newest may be missing.

        Unless `is_deep` those are left out that have a slash behind it.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """

    def list_uploads(self, prefix: str) -> tuple[str, ...] | None:
        """Names of uploads in pieces, begun and never ended; None when S3 does not tell them.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it; nothing is raised."""


class BundleStore(BundleReader, Protocol):
    """A BundleReader that takes objects too; put(), copy() and flush() are for one thread."""

    def put(
        self,
        name: str,
        body: BinaryIO,
        *,
        sha1: bytes,
        may_be_held: bool = False,
        only_new: bool = False,
    ) -> None:
        """Send an object in the background; waits while too many are on their way.

        `body` is seekable and read from its start; the store closes it.  S3 checks the SHA-1
        on arrival.  With `may_be_held` S3 is asked first whether it holds just this object
        already, which then is not sent; with `only_new` it is an error if somebody else has
        put an object of that name there.  The first failure of an earlier put is raised here
        or by flush().

        Raises:
            AwsRefusedError: S3 refused an object.
            ExistsError: `only_new` does not hold.
            TransferError: an object did not arrive.
        """

    def copy(
        self,
        source: ImageLocation,
        name: str,
        *,
        sha1: bytes,
        stored: StoredObject,
        may_be_held: bool = False,
        only_new: bool = False,
    ) -> None:
        """Copy an object of that SHA-1 within S3, in the background, as put() does.

        `stored` is what S3 tells of the source: a server that knows no SHA-1 must at least
        tell the same size and MD5 of the copy.

        Raises:
            VerificationError: the copy is not what it must be.
            AwsRefusedError, ExistsError, TransferError: as put().
        """

    def grant(self, name: str) -> None:
        """Let an object that is there be read by whom put() lets read, in the background.

        Raises:
            AwsRefusedError, TransferError: as put().
        """

    def flush(self) -> None:
        """Wait until every object put so far has arrived.

        Raises:
            AwsRefusedError, ExistsError, TransferError, VerificationError: as put() and copy().
        """

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; it is no error when there are none.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """

    def abort_uploads(self, prefix: str, belongs: Callable[[str], bool]) -> int:
        """End uploads in pieces, begun and never ended, of names that belong; their number.

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

    def list_own(self) -> Iterator[Ami]:
        """DescribeImages: all AMIs of this account, disabled ones too.

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
