"""What can go wrong between a client and a server, when it does, and what was asked."""

import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

FOREVER = sys.maxsize
"""As many times as the test lasts, for `Fault.times`."""


class FaultKind(StrEnum):
    """What happens to a request; `at` is a byte of the body, without the framing of chunks."""

    STATUS = "status"
    """The server is not asked: the client gets an error document of S3."""
    ERROR_IN_200 = "error in 200"
    """The same under status 200, as CompleteMultipartUpload fails."""
    RESET_REQUEST = "reset request"
    """Both sides see a reset when the client has sent `at` bytes, or all if they are fewer."""
    CLOSE_REQUEST = "close request"
    """The same, but the client sees an orderly end instead of a reply."""
    CORRUPT_REQUEST = "corrupt request"
    """One bit of byte `at` flips on the way to the server."""
    RESET_RESPONSE = "reset response"
    """The client sees a reset after `at` bytes of the reply's body."""
    CLOSE_RESPONSE = "close response"
    """The reply ends after `at` bytes of its body: a truncated one."""
    CORRUPT_RESPONSE = "corrupt response"
    """One bit of byte `at` flips on the way to the client."""
    DROP_RESPONSE = "drop response"
    """The server has done it; the client sees a reset instead of the reply."""
    HANG = "hang"
    """Nothing happens for `seconds`, then the client sees a reset; the server is not asked."""
    SLOW = "slow"
    """Both bodies pass at `rate` bytes a second."""


@dataclass(slots=True, kw_only=True)
class Request:
    """A request as the proxy saw it; path without percent signs, header names in lower case.

    The proxy fills in how it went as soon as it is known, hence not frozen.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    fault: "Fault | None" = None
    """The fault that struck: one that found no byte `at` has not."""
    status: int | None = None
    """What the server answered; None as long as it has not, or was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply that a test gives in the server's stead.

    A body shorter than `length` says is a stream that breaks: the connection is closed.
    """

    status: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


def error_reply(status: str, code: str, **elements: str) -> Reply:
    """S3's error document; further elements are such as Region."""
    further = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items())
    body = f"<Error><Code>{code}</Code><Message>It is so.</Message>{further}</Error>"
    return Reply(status=status, body=body.encode(), headers=(("Content-Type", "application/xml"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What shall go wrong, and for which requests; empty texts match everything."""

    kind: FaultKind
    method: str = ""
    path: str = ""
    """A piece of the path, as Request has it."""
    query: str = ""
    """A piece of the query string, as it was sent."""
    after: int = 0
    """Matching requests that are let pass first."""
    times: int = 1
    """Matching requests that are struck then."""
    at: int = 0
    """Bytes of the body before the one that is struck."""
    status: int = 503
    code: str = "SlowDown"
    """S3's word for the status."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further headers of an error, such as Date or x-amz-bucket-region."""
    elements: tuple[tuple[str, str], ...] = ()
    """Further elements of an error's document, such as Region."""
    seconds: float = 0.0
    rate: int = 0
    """Bytes a second."""

    def __post_init__(self) -> None:
        if min(self.after, self.at) < 0 or self.times < 1:
            raise ValueError(f"{self}: counts what cannot be counted")
        if (self.kind is FaultKind.SLOW) != (self.rate > 0):
            raise ValueError(f"{self}: a rate is for SLOW, and SLOW needs one")
        if (self.kind is FaultKind.HANG) != (self.seconds > 0):
            raise ValueError(f"{self}: seconds are for HANG, and HANG needs some")

    def matches(self, request: Request) -> bool:
        """Whether the request is one of those that are counted."""
        return (
            self.method in ("", request.method)
            and self.path in request.path
            and self.query in request.query
        )

    def reply(self) -> Reply | None:
        """What the client gets without the server being asked; None if it is asked."""
        if self.kind is FaultKind.STATUS:
            status = HTTPStatus(self.status)
        elif self.kind is FaultKind.ERROR_IN_200:
            status = HTTPStatus.OK
        else:
            return None
        reply = error_reply(f"{status} {status.phrase}", self.code, **dict(self.elements))
        return Reply(status=reply.status, body=reply.body, headers=reply.headers + self.headers)


class FaultPlan:
    """The faults to come; threads may add some while requests are served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: list[tuple[Fault, int]] = []  # with the count of requests that matched

    def add(self, *faults: Fault) -> None:
        """Plan faults; of several that match a request the first one added strikes."""
        with self._lock:
            self._plan.extend((fault, 0) for fault in faults)

    def clear(self) -> None:
        """Let everything pass."""
        with self._lock:
            self._plan.clear()

    def take(self, request: Request) -> Fault | None:
        """The fault that strikes this request, counted as used."""
        with self._lock:
            for index, (fault, count) in enumerate(self._plan):
                if fault.matches(request) and count - fault.after < fault.times:
                    self._plan[index] = (fault, count + 1)
                    if count >= fault.after:
                        return fault
        return None
