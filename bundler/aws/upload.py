"""Objects on their way to S3: several at a time, never more than fit the memory."""

import base64
import io
import threading
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from s3transfer.manager import TransferConfig, TransferManager
from s3transfer.subscribers import BaseSubscriber

from bundler.aws.errors import interruption, translated
from bundler.errors import HostError
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from s3transfer.futures import TransferFuture

MAX_IN_FLIGHT = 4
"""Most objects that are queued or being sent at a time.  Our choice: 40 MiB of usual parts."""


def transfer_config() -> TransferConfig:
    """How objects are sent: whole below 16 MiB, else in pieces of 16 MiB, 4 requests at a time.

    At most 6 pieces (4 on their way, 1 waiting, 1 being read) are held in memory.
    """
    return TransferConfig(
        multipart_threshold=16 * MIB,
        multipart_chunksize=16 * MIB,
        max_request_concurrency=4,
        max_submission_concurrency=1,
        max_in_memory_upload_chunks=5,
    )


class UploadQueue:
    """Uploads side by side; put(), flush() and cancel() are for one thread.

    After a failure or cancel() the queue takes nothing more.
    """

    def __init__(
        self,
        client: "S3Client",
        *,
        acl: str,
        config: TransferConfig,
        max_in_flight: int,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._acl = acl
        self._threshold = config.multipart_threshold
        self._max_in_flight = max_in_flight
        self._progress = progress
        self._changed = threading.Condition()
        self._uploads: list[_Upload] = []
        self._is_cancelled = False
        client.meta.events.register_first(
            "needs-retry.s3", _end_interrupted, unique_id="ami-bundler-end-interrupted"
        )
        self._manager = TransferManager(client, config)

    def put(self, location: ImageLocation, body: BinaryIO, *, sha1: bytes) -> None:
        """Send `body` in the background and close it; wait while too many are on their way.

        Raises:
            AwsRefusedError: S3 refused this or an earlier object.
            TransferError: an earlier object did not arrive.
            HostError: the body of an earlier object could not be read.
        """
        try:
            self._wait(self._max_in_flight - 1)
            upload = _Upload(location, body, self._changed, self._progress)
            arguments = self._arguments(body, sha1)
            with translated(upload.subject):
                upload.future = self._manager.upload(
                    # A reader is all that s3transfer needs of a file.
                    cast("BinaryIO", _Body(body, upload.subject)),
                    location.bucket,
                    location.key,
                    extra_args=arguments,
                    subscribers=[upload],
                )
            self._uploads.append(upload)
        except BaseException:
            body.close()
            raise

    def flush(self) -> None:
        """Wait until all has arrived.

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
            HostError: the body of an object could not be read.
        """
        self._wait(0)

    def cancel(self) -> None:
        """Give up all uploads without waiting: each ends at its next read and is then aborted."""
        self._is_cancelled = True
        uploads, self._uploads = self._uploads, []
        for upload in uploads:
            upload.future.cancel()

    def _wait(self, most: int) -> None:
        """Wait until at most `most` uploads are unfinished; the first failure ends them all."""
        if self._is_cancelled:
            raise RuntimeError("uploads were cancelled, or one has failed")
        try:
            while True:
                with self._changed:
                    finished = [upload for upload in self._uploads if upload.is_finished]
                    if not finished and len(self._uploads) > most:
                        self._changed.wait()
                for upload in finished:
                    self._uploads.remove(upload)
                    with translated(upload.subject):
                        upload.future.result()
                if len(self._uploads) <= most and not finished:
                    return
        except BaseException:
            self.cancel()
            raise

    def _arguments(self, body: BinaryIO, sha1: bytes) -> dict[str, Any]:
        """Arguments of PutObject, or of the calls of a multipart upload: ACL and one checksum."""
        # S3 takes a SHA-1 of pieces only as a digest of digests; a CRC-32 may be of the whole.
        size = body.seek(0, io.SEEK_END)
        if size < self._threshold:
            checksum = ("ChecksumSHA1", sha1)
        else:
            checksum = ("ChecksumCRC32", _crc32(body).to_bytes(4, "big"))
        body.seek(0)
        arguments = {checksum[0]: base64.b64encode(checksum[1]).decode()}
        return {**arguments, "ACL": self._acl} if self._acl else arguments


class _Upload(BaseSubscriber):
    """One upload; s3transfer's threads call on_progress() and on_done()."""

    future: "TransferFuture"
    """Set as soon as the upload is queued, before anything waits for it."""

    def __init__(
        self,
        location: ImageLocation,
        body: BinaryIO,
        changed: threading.Condition,
        progress: Callable[[int], object] | None,
    ) -> None:
        self.subject = f"put {location.url}"
        self.is_finished = False
        self._body = body
        self._changed = changed
        self._progress = progress

    def on_progress(self, future: "TransferFuture", bytes_transferred: int, **_: object) -> None:
        """Tell of bytes sent; negative when they must be sent again."""
        if self._progress is not None:
            with self._changed:
                self._progress(bytes_transferred)

    def on_done(self, future: "TransferFuture", **_: object) -> None:
        """Close the body and wake who waits."""
        try:
            self._body.close()
        finally:
            with self._changed:
                self.is_finished = True
                self._changed.notify_all()


class _Body:
    """A body whose read errors are this machine's failure, not the network's."""

    def __init__(self, body: BinaryIO, subject: str) -> None:
        self._body = body
        self._subject = subject

    def read(self, size: int | None = -1) -> bytes:
        try:
            return self._body.read(-1 if size is None else size)
        except OSError as error:
            raise HostError(f"{self._subject}: cannot read what is to be sent: {error}") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._body.seek(offset, whence)

    def tell(self) -> int:
        return self._body.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._body.close()


def _crc32(body: BinaryIO) -> int:
    body.seek(0)
    crc = 0
    while chunk := body.read(MIB):
        crc = zlib.crc32(chunk, crc)
    return crc


def _end_interrupted(caught_exception: Exception | None = None, **_: object) -> None:
    """Send no request again that we ended ourselves: botocore takes that for a network error."""
    if cause := interruption(caught_exception):
        raise cause
