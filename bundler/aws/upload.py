"""Objects on their way to S3: several at a time, never more than fit the memory."""

import io
import logging
import threading
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from bundler.aws.body import UploadBody
from bundler.aws.copy import Copy, copy_object, find_copy
from bundler.aws.objects import S3Objects, described
from bundler.aws.outgoing import Outgoing, in_the_way
from bundler.aws.remedies import UNSUPPORTED_CODES
from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    InputError,
    TransferError,
)
from bundler.model.bundle import MIB
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

_logger = logging.getLogger(__name__)

MAX_HELD_SIZE = 80 * MIB
"""Most bytes of bodies that are queued or being sent, as long as there is more than one."""

MAX_OBJECT_SIZE = 5 * 1024 * MIB
"""Most bytes of an object that is sent or copied in one request.  Source: PutObject, CopyObject.
No tool makes parts as large; so a part is never sent in pieces, and S3 checks, and keeps, the
very SHA-1 that stands in the manifest."""


class UploadQueue:
    """Uploads side by side; put(), copy(), flush() and cancel() are for one thread.

    After a failure or cancel() the queue takes nothing more.
    """

    def __init__(
        self,
        objects: S3Objects,
        *,
        acl: str,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._objects = objects
        self._acl = acl
        self._progress = progress
        self._stopped = threading.Event()
        self._running: dict[Future[None], Outgoing | None] = {}
        self._lock = threading.Lock()
        self._max_running = objects.transport.settings.concurrency
        self._pool = ThreadPoolExecutor(self._max_running, thread_name_prefix="upload")
        self.sent_count = 0
        """Objects that were sent."""
        self.held_count = 0
        """Objects that S3 held already, so that they were not sent."""
        self.unproven_count = 0
        """Copied objects whose SHA-1 the server does not know: they are like their sources."""

    def put(
        self,
        location: ImageLocation,
        body: BinaryIO,
        *,
        sha1: bytes,
        may_be_held: bool = False,
        only_new: bool = False,
    ) -> None:
        """Send `body` in the background and close it; wait while too many are on their way.

        With `may_be_held` S3 is asked first whether it holds just this object already; with
        `only_new` an object of that name, put there meanwhile by somebody else, is an error.

        Raises:
            AwsRefusedError: S3 refused this or an earlier object.
            TransferError: an earlier object did not arrive.
            HostError: the body of an earlier object could not be read.
            InputError: it is larger than S3 takes.
        """
        try:
            size = body.seek(0, io.SEEK_END)
            if size > MAX_OBJECT_SIZE:
                raise InputError(
                    f"put {location.url}: expected at most {MAX_OBJECT_SIZE} bytes, got {size}"
                )
            upload = Outgoing(location=location, body=body, size=size, sha1=sha1, only_new=only_new)
            self._submit(lambda: self._send(upload, may_be_held=may_be_held), upload)
        except BaseException:
            body.close()
            raise

    def copy(self, copy: Copy, *, may_be_held: bool = False) -> None:
        """Copy an object within S3, in the background; see copy_object().

        Raises:
            VerificationError: an earlier copy is not what it must be.
            InputError: it is larger than S3 copies in one request.
            AwsRefusedError, TransferError, HostError: as put().
        """
        if copy.stored.size > MAX_OBJECT_SIZE:
            raise InputError(
                f"{copy.subject}: expected at most {MAX_OBJECT_SIZE} bytes, got {copy.stored.size}"
            )
        self._submit(lambda: self._copy(copy, may_be_held=may_be_held), None)

    def grant(self, location: ImageLocation) -> None:
        """Give an object that is there the ACL that it would be sent with, in the background.

        Raises:
            AwsRefusedError, TransferError, HostError: as put().
        """
        if self._acl:
            self._submit(lambda: self._grant(location), None)

    def flush(self) -> None:
        """Wait until all has arrived.

        Raises:
            AwsRefusedError: S3 refused an object.
            TransferError: an object did not arrive.
            HostError: the body of an object could not be read.
        """
        self._wait(lambda: not self._running)

    def cancel(self) -> None:
        """Give up all uploads without waiting: each ends at its next read."""
        self._stopped.set()
        running, self._running = self._running, {}
        for future, upload in running.items():
            if future.cancel() and upload is not None:
                upload.body.close()
        self._pool.shutdown(wait=False)

    def _submit(self, work: Callable[[], None], upload: Outgoing | None) -> None:
        size = upload.size if upload else 0
        self._wait(lambda: self._has_room(size))
        self._running[self._pool.submit(work)] = upload

    def _has_room(self, size: int) -> bool:
        held_size = sum(upload.size for upload in self._running.values() if upload)
        is_free = len(self._running) < self._max_running and held_size + size <= MAX_HELD_SIZE
        return is_free or not self._running

    def _wait(self, is_enough: Callable[[], bool]) -> None:
        """Wait for uploads until it is enough; the first failure ends them all."""
        if self._stopped.is_set():
            raise RuntimeError("uploads were cancelled, or one has failed")
        try:
            while True:
                for future in [future for future in self._running if future.done()]:
                    del self._running[future]
                    future.result()
                if is_enough():
                    return
                wait(self._running, return_when=FIRST_COMPLETED)
        except BaseException:
            self.cancel()
            raise

    def _send(self, upload: Outgoing, *, may_be_held: bool) -> None:
        """Send one object; in a thread of the pool."""
        subject = f"put {upload.location.url}"
        try:
            if may_be_held and self._is_held(upload):
                self._grant(upload.location)
                self._advance(upload.size)
                with self._lock:
                    self.held_count += 1
                return
            self._objects.transport.call(
                subject, lambda: self._put(upload, subject), stopped=self._stopped
            )
            with self._lock:
                self.sent_count += 1
        except AwsRefusedError as error:
            if error.code in UNSUPPORTED_CODES and upload.only_new:
                _logger.info("%s; sent again without a condition", error)
                self._send(replace(upload, only_new=False), may_be_held=False)
                return
            if error.code != "PreconditionFailed":
                raise
            # Our own first request may have arrived, and its reply been lost.
            if not self._is_held(upload):
                raise in_the_way(subject) from error
            self._grant(upload.location)
            self._advance(upload.size)
            with self._lock:
                self.sent_count += 1
        finally:
            upload.body.close()
            if upload.is_damaged:
                with suppress(BundlerError, CancelledError):
                    self._objects.delete([upload.location])

    def _put(self, upload: Outgoing, subject: str) -> None:
        """One PutObject, checked on both sides."""
        body = UploadBody(
            upload.body,
            subject,
            stopped=self._stopped,
            take=lambda size: self._objects.transport.bandwidth.take(size, self._stopped),
            advance=self._advance,
        )
        request: PutObjectRequestTypeDef = {
            "Bucket": upload.location.bucket,
            "Key": upload.location.key,
            "Body": cast("BinaryIO", body),  # all that botocore needs of a file
            "ContentLength": upload.size,
            "ChecksumAlgorithm": "SHA1",
            "ChecksumSHA1": b64encode(upload.sha1).decode(),
        }
        if self._acl:
            request["ACL"] = self._acl  # type: ignore[typeddict-item]  # a text of the user's
        if upload.only_new and not upload.is_damaged:  # else what is there is ours
            request["IfNoneMatch"] = "*"
        try:
            reply = self._objects.put(request)
            told = described(upload.location.key, upload.size, reply)
            if not upload.agrees(told, trusted=self._objects.checks_digests):
                upload.is_damaged = True
                raise TransferError(f"{subject}: S3 got other bytes than were sent")
            upload.is_damaged = False
        except BaseException:
            body.take_back()
            raise

    def _is_held(self, upload: Outgoing) -> bool:
        """Whether S3 holds just this object: same size, and a digest that proves the rest."""
        stored = self._objects.head(upload.location, stopped=self._stopped)
        if stored is None or stored.size != upload.size:
            return False
        return upload.is_proven_by(stored, trusted=self._objects.checks_digests)

    def _copy(self, copy: Copy, *, may_be_held: bool) -> None:
        """Copy one object; in a thread of the pool."""
        there = find_copy(self._objects, copy, stopped=self._stopped) if may_be_held else None
        if there is not None:
            self._grant(copy.location)
            is_proven = bool(there.sha1)
        else:
            is_proven = copy_object(self._objects, copy, acl=self._acl, stopped=self._stopped)
        with self._lock:
            self.held_count += there is not None
            self.sent_count += there is None
            self.unproven_count += not is_proven
        self._advance(copy.stored.size)

    def _grant(self, location: ImageLocation) -> None:
        """Give an object that is held the ACL that it would be sent with (PutObjectAcl)."""
        if self._acl:
            self._objects.set_acl(location, self._acl, stopped=self._stopped)

    def _advance(self, size: int) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress(size)
