"""Bundle store: objects below one prefix of one bucket."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from bundler.aws.body import watch_bodies
from bundler.aws.copy import Copy
from bundler.aws.download import download
from bundler.aws.objects import S3Objects
from bundler.aws.remedies import UNSUPPORTED_CODES
from bundler.aws.transport import Transport
from bundler.aws.upload import UploadQueue
from bundler.errors import AwsRefusedError
from bundler.model.image import ImageLocation
from bundler.model.stored import StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACL = "aws-exec-read"
"""Canned ACL that lets EC2 read bundles.  Source: S3 user guide, canned ACL."""

NO_ACL = "none"
"""Said instead of an ACL where none is to be sent: the bucket takes none."""


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
        transport: Transport | None = None,
        acl: str = ACL,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        watch_bodies(client)
        self._location = location
        self._objects = S3Objects(client, transport or Transport())
        self._stopped = threading.Event()
        self._uploads = UploadQueue(
            self._objects, acl="" if acl == NO_ACL else acl, progress=progress
        )

    @property
    def location(self) -> ImageLocation:
        """The bucket and prefix."""
        return self._location

    @property
    def concurrency(self) -> int:
        """Objects that may be read side by side."""
        return self._objects.transport.settings.concurrency

    @property
    def sent_count(self) -> int:
        """Objects that were sent or copied."""
        return self._uploads.sent_count

    @property
    def held_count(self) -> int:
        """Objects that S3 held already, so that they were not sent."""
        return self._uploads.held_count

    @property
    def unproven_count(self) -> int:
        """Copied objects whose SHA-1 the server does not know: they are like their sources."""
        return self._uploads.unproven_count

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

        S3 checks the SHA-1.  With `may_be_held` S3 is asked first whether it holds just this
        object; with `only_new` an object of that name, put there by somebody else meanwhile,
        is an error.

        Raises:
            AwsRefusedError: S3 refused an object.
            ExistsError: `only_new` does not hold.
            TransferError: an object did not arrive.
            HostError: a body could not be read.
            RuntimeError: an earlier call has failed, or cancel() was called.
        """
        self._uploads.put(
            self._location.join(name),
            body,
            sha1=sha1,
            may_be_held=may_be_held,
            only_new=only_new,
        )

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
        """Copy an object within S3 in the background; as put().

        `stored` is what S3 tells of the source.

        Raises:
            VerificationError: the copy is not what it must be.
            InputError: it is larger than S3 copies in one request.
            AwsRefusedError, ExistsError, TransferError, RuntimeError: as put().
        """
        location = self._location.join(name)
        copy = Copy(source=source, location=location, sha1=sha1, stored=stored, only_new=only_new)
        self._uploads.copy(copy, may_be_held=may_be_held)

    def grant(self, name: str) -> None:
        """Give an object that is there the ACL that it would be sent with, in the background.

        Raises:
            AwsRefusedError, TransferError, RuntimeError: as put().
        """
        self._uploads.grant(self._location.join(name))

    def flush(self) -> None:
        """Wait until every object put so far has arrived.

        Raises:
            AwsRefusedError, ExistsError, TransferError, HostError, RuntimeError: as put().
        """
        self._uploads.flush()

    def cancel(self) -> None:
        """Give up what is still on its way, without waiting for it; nothing is raised."""
        self._stopped.set()
        self._uploads.cancel()

    def fetch(
        self,
        name: str,
        file: BinaryIO,
        *,
        sha1: bytes,
        limit: int,
        advance: Callable[[int], object],
    ) -> int:
        """Write an object with that SHA-1 into an empty file; its size.  For many threads.

        Raises:
            VerificationError: it has another SHA-1, or more than `limit` bytes.
            AwsRefusedError: S3 refused, or there is no such object.
            TransferError: the object did not arrive whole.
            CancelledError: cancel() was called.
            OSError: the file cannot be written.
        """
        return download(
            self._objects,
            self._location.join(name),
            file,
            sha1=sha1,
            limit=limit,
            advance=advance,
            stopped=self._stopped,
        )

    def read(self, name: str, *, limit: int) -> bytes:
        """The bytes of an object of at most `limit` bytes.

        Raises:
            InputError: it is larger.
            AwsRefusedError, TransferError: as fetch().
        """
        file = BytesIO()
        download(
            self._objects,
            self._location.join(name),
            file,
            sha1=None,
            limit=limit,
            advance=lambda size: None,
            stopped=self._stopped,
        )
        return file.getvalue()

    def head(self, name: str) -> StoredObject | None:
        """What S3 tells of an object; None when there is none.  For many threads.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        location = self._location.join(name)
        stored = self._objects.head(location, stopped=self._stopped)
        return None if stored is None else replace(stored, name=name)

    def list(self, prefix: str, *, is_deep: bool = True) -> Iterator[StoredObject]:
        """The objects that begin with `prefix`, in S3's order; below slashes only if `is_deep`.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        location = self._location.join(prefix)
        skipped = len(location.key) - len(prefix)
        for stored in self._objects.list(location, is_deep=is_deep):
            yield replace(stored, name=stored.name[skipped:])

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; it is no error when there are none.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        self._objects.delete([self._location.join(name) for name in names])

    def abort_uploads(self, prefix: str, belongs: Callable[[str], bool]) -> int:
        """Abort multipart uploads, begun and never ended, of names that belong; their number.

        Servers and policies that do not let us look are left alone.

        Raises:
            AwsRefusedError: S3 refused to abort one.
            TransferError: S3 cannot be reached.
        """
        found = [
            (name, upload) for name, upload in self._uploads_below(prefix) or () if belongs(name)
        ]
        for name, upload in found:
            location = self._location.join(name)
            self._objects.abort_upload(location.bucket, location.key, upload)
        return len(found)

    def list_uploads(self, prefix: str) -> tuple[str, ...] | None:
        """Names of multipart uploads, begun and never ended; None when we may not look.

        Raises:
            AwsRefusedError: S3 refused.
            TransferError: S3 cannot be reached.
        """
        uploads = self._uploads_below(prefix)
        return None if uploads is None else tuple(name for name, _ in uploads)

    def _uploads_below(self, prefix: str) -> Sequence[tuple[str, str]] | None:
        """Names and ids; None from servers and policies that do not let us look."""
        location = self._location.join(prefix)
        skipped = len(location.key) - len(prefix)
        try:
            return [
                (key[skipped:], upload)
                for key, upload in self._objects.list_uploads(location)
                if key.startswith(location.key)
            ]
        except AwsRefusedError as error:
            if error.code in UNSUPPORTED_CODES or error.code == "AccessDenied":
                return None
            raise
