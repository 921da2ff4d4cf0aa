"""HTTP to a server of instance metadata: IMDSv2, one connection, no proxy, no redirect.

Not by botocore, whose fetcher is private and knows credentials only, nor by urllib, which
asks the proxies of the environment and follows redirects.
Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata".
"""

import http.client
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bundler.aws.metadata_endpoint import MetadataEndpoint, MetadataPatience
from bundler.errors import AwsRefusedError, BundlerError, TransferError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

TOKEN_TTL = 300
"""Seconds that a session token shall hold: all is read in a moment.  EC2 takes 1 to 21600."""

MAX_BODY_SIZE = 64 * 1024
"""Most bytes of an answer; our choice: the longest, the identity document, has about 500."""

NO_INHERIT = "--no-inherit does without instance metadata"
"""What helps against all of it."""

_TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path, not a secret
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a name, not a secret
_NO_IMDSV2 = frozenset((400, 404, 405, 501))
"""What servers say to a PUT that they do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: bytes


class _FailedError(Exception):
    """An attempt failed in a way that may pass; the argument tells how."""

    def __init__(self, reason: str, *, is_silent: bool = False) -> None:
        super().__init__(reason)
        self.is_silent = is_silent
        """Whether there was a connection, and then no answer came in time."""


class _Socket(socket.socket):
    """A socket whose reads all end at one moment, so that a dripping answer ends as well."""

    deadline = 0.0

    def recv_into(self, buffer: "WriteableBuffer", nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(max(self.deadline - time.monotonic(), 0.001))
        return super().recv_into(buffer, nbytes, flags)


class MetadataClient:
    """Answers of one server; a context, which closes the connection at its end."""

    def __init__(self, endpoint: MetadataEndpoint, patience: MetadataPatience) -> None:
        self.subject = f"read instance metadata of {endpoint.url}"
        """What the messages of errors begin with."""
        self._patience = patience
        self._address = (endpoint.host, endpoint.port)
        self._connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
        self._socket: _Socket | None = None
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def get(self, path: str) -> str | None:
        """The text below /latest/; None where the server has none.

        Raises:
            AwsRefusedError: metadata are switched off, or the server knows no IMDSv2.
            TransferError: no answer, or none that can be instance metadata.
        """
        if not self._token:
            self._token = self._new_token()
        answer = self._ask("GET", f"/latest/{path}", {_TOKEN_HEADER: self._token})
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise self._refused(f"{path}: expected status 200", answer.status)
        return self._text(path, answer)

    def rubbish(self, words: str) -> TransferError:
        """The error for an answer that can be none of EC2's; `words` say what it is."""
        return TransferError(f"{self.subject}: {words}; {NO_INHERIT}")

    def _new_token(self) -> str:
        answer = self._ask("PUT", _TOKEN_PATH, {f"{_TOKEN_HEADER}-ttl-seconds": str(TOKEN_TTL)})
        if answer.status in _NO_IMDSV2:
            raise AwsRefusedError(
                f"{self.subject}: expected a session token (IMDSv2), got status {answer.status}: "
                f"this server knows IMDSv1 at most, which is not used; {NO_INHERIT}",
                code=str(answer.status),
            )
        if answer.status != HTTPStatus.OK:
            raise self._refused("expected a session token", answer.status)
        token = self._text("session token", answer).strip()
        if not token or len(token) > 1024 or not token.isprintable() or " " in token:
            raise self.rubbish("session token: expected one word, got something else")
        return token

    def _refused(self, expected: str, status: int) -> BundlerError:
        if status == HTTPStatus.FORBIDDEN:
            return AwsRefusedError(
                f"{self.subject}: {expected}, got status 403: this instance's metadata are "
                f"switched off; ModifyInstanceMetadataOptions with HttpEndpoint=enabled switches "
                f"them on, {NO_INHERIT}",
                code=str(status),
            )
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            message = f"{self.subject}: {expected}, got status {status}; {NO_INHERIT}"
            return AwsRefusedError(message, code=str(status))
        return self.rubbish(f"{expected}, got status {status}")

    def _text(self, name: str, answer: _Answer) -> str:
        if len(answer.body) > MAX_BODY_SIZE:
            raise self.rubbish(f"{name}: expected at most {MAX_BODY_SIZE} bytes, got more")
        try:
            return answer.body.decode("ascii")
        except UnicodeDecodeError as error:
            raise self.rubbish(f"{name}: expected ASCII text, got other bytes") from error

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> _Answer:
        """Send a request until it is answered, for a few times."""
        delay = self._patience.delay
        for attempt in range(1, self._patience.max_attempts + 1):
            is_last = attempt == self._patience.max_attempts
            try:
                answer = self._send(method, path, headers)
            except _FailedError as error:
                self._close()
                if is_last:
                    raise self._failure(method, error) from error
            else:
                if is_last or not _is_passing(answer.status):
                    return answer
            self._patience.wait(delay)
            delay *= 2
        raise RuntimeError("a request is sent at least once")

    def _failure(self, method: str, error: _FailedError) -> TransferError:
        if error.is_silent and method == "PUT":
            # The answer to PUT alone has the hop limit as its IP time to live: one that is too
            # low leaves the connection, and then silence.
            return TransferError(
                f"{self.subject}: expected a session token, got {error}; in a container, "
                "ModifyInstanceMetadataOptions with HttpPutResponseHopLimit=2 lets it through, "
                f"{NO_INHERIT}"
            )
        return TransferError(f"{self.subject}: {error}; {NO_INHERIT}")

    def _send(self, method: str, path: str, headers: dict[str, str]) -> _Answer:
        live = self._connect()
        live.settimeout(self._patience.timeout)
        live.deadline = time.monotonic() + self._patience.timeout
        try:
            self._connection.request(method, path, headers=headers)
            with self._connection.getresponse() as response:
                body = response.read(MAX_BODY_SIZE + 1)
                is_cut = bool(response.length) and len(body) <= MAX_BODY_SIZE
        except TimeoutError as error:
            reason = f"no answer within {self._patience.timeout:g} seconds"
            raise _FailedError(reason, is_silent=True) from error
        except (OSError, http.client.HTTPException) as error:
            raise _FailedError(f"no whole answer ({type(error).__name__})") from error
        if is_cut:
            raise _FailedError("no whole answer (cut short)")
        if len(body) > MAX_BODY_SIZE:
            self._close()
        return _Answer(status=response.status, body=body)

    def _connect(self) -> _Socket:
        """The connection as it is, or a new one where the server has closed it."""
        if self._connection.sock is not None and self._socket is not None:
            return self._socket
        try:
            plain = socket.create_connection(self._address, self._patience.connect_timeout)
        except TimeoutError as error:
            reason = f"no connection within {self._patience.connect_timeout:g} seconds"
            raise _FailedError(reason) from error
        except (OSError, UnicodeError) as error:  # what is no host's name fails to be encoded
            words = getattr(error, "strerror", None) or "not a host's name"
            raise _FailedError(f"nothing there: {words}") from error
        live = _Socket(fileno=plain.detach())
        with suppress(OSError):
            live.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sock = self._socket = live
        return live

    def _close(self) -> None:
        self._connection.close()
        self._socket = None


def _is_passing(status: int) -> bool:
    is_of_server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return status == HTTPStatus.TOO_MANY_REQUESTS or (is_of_server and status not in _NO_IMDSV2)
