"""What the proxy makes of HTTP itself, between raw sockets."""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.faults import FOREVER, Fault, FaultKind, Reply, Request

PATIENCE = 20.0
"""Seconds after which a test that waits has failed."""


class RawServer:
    """Takes one connection, answers what it is told as soon as it has read so much."""

    def __init__(self, *, answer: bytes, until: bytes) -> None:
        self._answer = answer
        self._until = until
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.received = b""

    def address(self, request: Request) -> tuple[str, int]:
        return "127.0.0.1", int(self._listener.getsockname()[1])

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join(PATIENCE)
        self._listener.close()

    def _serve(self) -> None:
        self._listener.settimeout(PATIENCE)
        connection, _ = self._listener.accept()
        with connection, suppress(ConnectionResetError):
            connection.settimeout(PATIENCE)
            while not self.received.endswith(self._until):
                self.received += connection.recv(65536)
            connection.sendall(self._answer)


@contextmanager
def connect(proxy: FaultProxy) -> Iterator[socket.socket]:
    parts = urlsplit(proxy.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE) as connection:
        yield connection


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = connection.recv(1)
        assert piece, received
        received += piece
    return received


def refuse(request: Request) -> tuple[str, int]:
    raise AssertionError("the server is not to be asked")


GET = b"GET /a%20b?c=%20 HTTP/1.1\r\nHost: here:1\r\nX: 1\r\nx: 2\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: here:1\r\nContent-Length: 1000\r\n\r\n"


def test_host_and_headers_pass_and_are_recorded() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with (
        RawServer(answer=answer, until=b"\r\n\r\n") as server,
        FaultProxy(server.address) as proxy,
        connect(proxy) as client,
    ):
        client.sendall(GET)
        assert read_until(client, b"\r\n\r\nok").startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Host: here:1\r\nX: 1\r\nx: 2\r\n" in server.received
    headers = {"host": "here:1", "x": "1,2"}
    expected = Request(method="GET", path="/a b", query="c=%20", headers=headers, status=200)
    assert proxy.requests == [expected]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n",
            b"3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"a"),
    ],
)
def test_every_framing_of_a_reply(answer: bytes, body: bytes) -> None:
    with (
        RawServer(answer=answer, until=b"\r\n\r\n") as server,
        FaultProxy(server.address) as proxy,
        connect(proxy) as client,
    ):
        client.sendall(GET.replace(b"X: 1", b"Connection: close"))
        _, _, received = read_all(client).partition(b"\r\n\r\n")
    assert received == body


def test_a_body_in_chunks_passes_with_its_trailer() -> None:
    chunks = b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with (
        RawServer(answer=answer, until=b"Trailer: 1\r\n\r\n") as server,
        FaultProxy(server.address) as proxy,
        connect(proxy) as client,
    ):
        proxy.faults.add(Fault(kind=FaultKind.CORRUPT_REQUEST, at=3))
        client.sendall(b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    _, _, body = server.received.partition(b"\r\n\r\n")
    damaged = bytes((ord("d") ^ 0x40, ord("e")))
    assert body == b"3\r\nabc\r\n2\r\n" + damaged + b"\r\n0\r\nTrailer: 1\r\n\r\n"


def test_a_server_that_answers_before_the_body_is_heard() -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    with (
        RawServer(answer=answer, until=b"\r\n\r\n") as server,
        FaultProxy(server.address) as proxy,
        connect(proxy) as client,
    ):
        client.sendall(PUT.replace(b"Host", b"Expect: 100-continue\r\nHost"))
        assert read_all(client).startswith(b"HTTP/1.1 403 Forbidden")


def test_a_server_that_goes_without_a_word_is_a_reset() -> None:
    with (
        RawServer(answer=b"", until=b"\r\n\r\n") as server,
        FaultProxy(server.address) as proxy,
        connect(proxy) as client,
    ):
        client.sendall(GET)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert proxy.requests[0].status is None


@pytest.mark.parametrize("at", [0, 500, FOREVER])
def test_a_reset_is_a_reset_and_a_close_is_a_close(at: int) -> None:
    sent = PUT + bytes(min(at, 1000))
    for kind in (FaultKind.RESET_REQUEST, FaultKind.CLOSE_REQUEST):
        with (
            RawServer(answer=b"", until=b"not to be had") as server,
            FaultProxy(server.address) as proxy,
            connect(proxy) as client,
        ):
            proxy.faults.add(Fault(kind=kind, at=at))
            client.sendall(sent)
            if kind is FaultKind.RESET_REQUEST:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            else:
                assert client.recv(1) == b""


def test_a_reply_in_the_servers_stead_takes_the_body_and_the_connection_lasts() -> None:
    reply = Reply(status="503 Slow Down", body=b"<Error/>")
    with (
        FaultProxy(refuse, intercept=lambda request: reply) as proxy,
        connect(proxy) as client,
    ):
        for _ in range(3):
            client.sendall(PUT + bytes(1000))
            assert read_until(client, b"<Error/>").startswith(b"HTTP/1.1 503 Slow Down\r\n")
        client.sendall(PUT.replace(b"Host", b"Expect: 100-continue\r\nHost"))
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert len(proxy.requests) == 4


def test_the_end_of_the_proxy_ends_what_hangs() -> None:
    threads = set(threading.enumerate())
    began = time.monotonic()
    with closing(socket.socket()) as client:
        with FaultProxy(refuse) as proxy:
            proxy.faults.add(Fault(kind=FaultKind.HANG, seconds=3600))
            parts = urlsplit(proxy.url)
            client.connect((parts.hostname, parts.port))
            client.sendall(GET)
            while not (proxy.requests and proxy.requests[0].fault):
                assert time.monotonic() - began < PATIENCE
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert time.monotonic() - began < PATIENCE
    assert set(threading.enumerate()) == threads


def test_the_end_of_the_proxy_closes_what_is_ending_already() -> None:
    # Clients leave in mid reply, at any moment of it; what stays open is a warning, and an error.
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + bytes(400_000)
    for pause in range(40):
        with (
            RawServer(answer=answer, until=b"\r\n\r\n") as server,
            FaultProxy(server.address) as proxy,
        ):
            with connect(proxy) as client:
                client.sendall(GET)
                client.recv(10)
            time.sleep(pause / 20_000)
        del server, proxy
        gc.collect()


def test_a_hook_that_fails_fails_the_test() -> None:
    def fail(request: Request) -> None:
        raise LookupError("nothing left to reply")

    def run() -> None:
        with FaultProxy(refuse, intercept=fail) as proxy, connect(proxy) as client:
            client.sendall(GET)
            assert client.recv(1) == b""

    with pytest.raises(LookupError, match="nothing left"):
        run()


@pytest.mark.parametrize(
    "make",
    [
        partial(Fault, kind=FaultKind.SLOW),
        partial(Fault, kind=FaultKind.HANG),
        partial(Fault, kind=FaultKind.STATUS, rate=1),
        partial(Fault, kind=FaultKind.STATUS, seconds=1.0),
        partial(Fault, kind=FaultKind.STATUS, times=0),
        partial(Fault, kind=FaultKind.RESET_REQUEST, at=-1),
    ],
)
def test_a_fault_that_cannot_be(make: Callable[[], Fault]) -> None:
    with pytest.raises(ValueError, match=r"rate|seconds|counted"):
        make()
