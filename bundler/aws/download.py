"""Objects on their way from S3: taken up where they broke off, checked while they are read."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import closing
from hashlib import md5, sha1
from typing import TYPE_CHECKING, BinaryIO

from botocore.exceptions import FlexibleChecksumError

from bundler.aws.objects import S3Objects, described
from bundler.errors import InputError, TransferError, VerificationError
from bundler.model.image import ImageLocation

if TYPE_CHECKING:
    from hashlib import _Hash as HASH  # its only name in the type checker's stubs

    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, GetObjectRequestTypeDef

READ_SIZE = 256 * 1024
"""Bytes read from a connection at a time."""


def download(
    objects: S3Objects,
    location: ImageLocation,
    file: BinaryIO,
    *,
    sha1: bytes | None,
    limit: int,
    advance: Callable[[int], object],
    stopped: threading.Event,
) -> int:
    """Write an object of at most `limit` bytes into an empty file, checked; its size in bytes.

    With `sha1` the content must have that digest; without, it must agree with the checksum
    that S3 has of it, if it has one.  When that does not hold, the object is read again: it
    may have been damaged on the way.  What comes twice with the same wrong digest is wrong in
    S3 itself.  After a failure the file has anything.

    Raises:
        VerificationError: the object is not what it must be, or larger.
        InputError: an object without `sha1` is larger.
        AwsRefusedError: S3 refused, or there is no such object.
        TransferError: it did not arrive whole.
        CancelledError: `stopped` was set meanwhile.
        OSError: the file cannot be written.
    """
    running = _Download(objects, location, file, sha1, limit, advance, stopped)
    try:
        objects.transport.call(f"get {location.url}", running.run, stopped=stopped)
    except TransferError as error:
        if running.is_wrong:  # to the end: nothing says that it was the way that damaged it
            raise VerificationError(str(error)) from error
        raise
    return running.size


class _Download:
    """One object on its way; run() may be called again until it succeeds."""

    def __init__(
        self,
        objects: S3Objects,
        location: ImageLocation,
        file: BinaryIO,
        expected: bytes | None,
        limit: int,
        advance: Callable[[int], object],
        stopped: threading.Event,
    ) -> None:
        self._objects = objects
        self._location = location
        self._subject = f"get {location.url}"
        self._file = file
        self._expected = expected
        self._limit = limit
        self._advance = advance
        self._stopped = stopped
        self._etag = ""
        self._wrong = ""
        self._hash = self._new_hash()
        self.size = 0
        """Bytes that the file has of it."""
        self.is_wrong = False
        """Whether the last attempt read all of it, and its digest did not hold."""

    def run(self) -> None:
        """Read the rest, or all of it anew, and check it."""
        self.is_wrong = False
        reply = self._objects.get(self._request())
        if self.size and not reply.get("ContentRange", "").startswith(f"bytes {self.size}-"):
            self._begin_again()
            raise TransferError(f"{self._subject}: the server cannot go on in the middle")
        self._etag = reply["ETag"]
        try:
            self._read(reply)
        except FlexibleChecksumError:
            self.is_wrong = True
            self._begin_again()
            raise
        told = described(self._location.key, self.size, reply)
        self._check(told.md5 if self._expected is None else self._expected.hex())

    def _request(self) -> "GetObjectRequestTypeDef":
        request: GetObjectRequestTypeDef = {
            "Bucket": self._location.bucket,
            "Key": self._location.key,
        }
        if self.size:
            # The rest, and of the same object: another may have taken its place.
            request["Range"] = f"bytes={self.size}-"
            request["IfMatch"] = self._etag
        elif self._expected is None:
            request["ChecksumMode"] = "ENABLED"
        return request

    def _read(self, reply: "GetObjectOutputTypeDef") -> None:
        promised = self.size + reply["ContentLength"]
        self._check_size(promised)
        with closing(reply["Body"]) as body:
            while chunk := body.read(READ_SIZE):
                if self._stopped.is_set():
                    raise CancelledError
                self._check_size(self.size + len(chunk))
                self._objects.transport.bandwidth.take(len(chunk), self._stopped)
                self._keep(chunk)
        if self.size != promised:
            raise TransferError(f"{self._subject}: the stream ended at {self.size} bytes")

    def _keep(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]
        self._hash.update(chunk)
        self.size += len(chunk)
        self._advance(len(chunk))

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            error = InputError if self._expected is None else VerificationError
            raise error(f"{self._subject}: expected at most {self._limit} bytes, got {size}")

    def _check(self, wanted: str) -> None:
        """Compare the digest; begin again when it does not hold."""
        got = self._hash.hexdigest()
        if not wanted or got == wanted:
            return
        words = f"{self._subject}: expected {self._hash.name.upper()} {wanted}, got {got}"
        if self._wrong == got:
            raise VerificationError(words)
        self._wrong = got
        self.is_wrong = True
        self._begin_again()
        raise TransferError(f"{words}; damaged on the way, or in S3")

    def _begin_again(self) -> None:
        self._advance(-self.size)
        self.size = 0
        self._hash = self._new_hash()
        self._file.seek(0)
        self._file.truncate()

    def _new_hash(self) -> "HASH":
        # MD5 is what S3's ETag is, SHA-1 what manifests have: against accidents, not forgers.
        return md5(usedforsecurity=False) if self._expected is None else sha1(usedforsecurity=False)
