"""A request's body on its way: counted, paced, and given up when the upload is."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, BinaryIO

from bundler.errors import HostError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SEND_SIZE = 256 * 1024
"""Bytes of a piece that goes to the socket at once.  Our choice, measured: the 16 KiB that
http.client asks for keep a processor busy."""


class UploadBody:
    """What botocore needs of a file, around one; made anew for each attempt.

    botocore reads the body twice: to sign it, and to send it.  Only the second counts, which
    the client's events tell apart; see watch_bodies().
    """

    def __init__(
        self,
        body: BinaryIO,
        subject: str,
        *,
        stopped: threading.Event,
        take: Callable[[int], object],
        advance: Callable[[int], object],
    ) -> None:
        self._body = body
        # Bytes in memory go to the hash and the socket from where they are.
        self._held = memoryview(body.getvalue()) if type(body) is io.BytesIO else None
        self._subject = subject
        self._stopped = stopped
        self._take = take
        self._advance = advance
        self._sent_size = 0
        self.is_sending = False
        body.seek(0)

    def read(self, size: int | None = -1) -> bytes | memoryview:
        """The next bytes; more than asked for while they are sent, see SEND_SIZE."""
        if self._stopped.is_set():
            raise CancelledError
        wanted = -1 if size is None or size < 0 else size
        if self.is_sending and wanted >= 0:
            wanted = max(wanted, SEND_SIZE)
        try:
            data = self._next(wanted)
        except OSError as error:
            raise HostError(f"{self._subject}: cannot read what is to be sent: {error}") from error
        if self.is_sending and data:
            self._take(len(data))
            self._sent_size += len(data)
            self._advance(len(data))
        return data

    def _next(self, size: int) -> bytes | memoryview:
        if self._held is None:
            return self._body.read(size)
        start = self._body.tell()
        data = self._held[start:] if size < 0 else self._held[start : start + size]
        self._body.seek(start + len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; to the start when the request must be sent again."""
        position = self._body.seek(offset, whence)
        if position == 0 and self._sent_size:
            self.take_back()
        return position

    def tell(self) -> int:
        """Position in bytes."""
        return self._body.tell()

    def take_back(self) -> None:
        """What was sent did not count."""
        sent, self._sent_size = self._sent_size, 0
        if sent:
            self._advance(-sent)


def watch_bodies(client: "S3Client") -> None:
    """Let the bodies of this client's requests know when they are sent, not signed."""
    # The signer hangs at the same event, between the two.
    events = client.meta.events
    events.register_first("request-created.s3", _begin_signing, unique_id="ami-bundler-signing")
    events.register_last("request-created.s3", _begin_sending, unique_id="ami-bundler-sending")


def _begin_signing(request: Any, **_: object) -> None:
    if isinstance(request.body, UploadBody):
        request.body.is_sending = False


def _begin_sending(request: Any, **_: object) -> None:
    if isinstance(request.body, UploadBody):
        request.body.is_sending = True
