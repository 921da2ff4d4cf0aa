"""A server of instance metadata on the loopback: tokens as EC2 has them, and what goes wrong."""

import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path, not a secret
DOCUMENT_PATH = "/latest/dynamic/instance-identity/document"

DOCUMENT: Mapping[str, object] = {
    "accountId": "123456789012",
    "architecture": "x86_64",
    "availabilityZone": "eu-west-1a",
    "imageId": "ami-0123456789abcdef0",
    "instanceId": "i-0123456789abcdef0",
    "kernelId": None,
    "region": "eu-west-1",
    "version": "2017-09-30",
}

NITRO: Mapping[str, str] = {
    "instance-id": "i-0123456789abcdef0",
    "ami-id": "ami-0123456789abcdef0",
    "block-device-mapping/": "ami\nebs1\nephemeral0\nroot",
    "block-device-mapping/ami": "/dev/xvda",
    "block-device-mapping/ebs1": "sdf",
    "block-device-mapping/ephemeral0": "sdb",
    "block-device-mapping/root": "/dev/xvda",
}
"""What an EBS-backed instance of today is told; the others of its paths do not exist."""

PARAVIRTUAL: Mapping[str, str] = {
    "instance-id": "i-1a2b3c4d",
    "ami-id": "ami-1a2b3c4d",
    "ancestor-ami-ids": "ami-00000001\nami-00000002",
    "kernel-id": "aki-52a34525",
    "ramdisk-id": "ari-a51cf9cc",
    "product-codes": "774F4FF8\n7w4ugprjc7i0abcdefghijkl",
    "block-device-mapping/": "ami\nephemeral0\nroot\nswap",
    "block-device-mapping/ami": "sda1",
    "block-device-mapping/ephemeral0": "sda2",
    "block-device-mapping/root": "/dev/sda1",
    "block-device-mapping/swap": "sda3",
}
"""What an S3-backed paravirtual instance was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered, well or badly."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_silent: bool = False
    """No answer at all while the server runs, and the connection stays."""
    is_dripping: bool = False
    """One byte after the other, for as long as the server runs."""
    claimed_size: int | None = None
    """Content-Length, where it is a lie."""


Override = Callable[[str, str, int], Answer | None]
"""Answers a request, given its method, path and how many there were before; None: as usual."""


class MetadataServer:
    """A server that runs in threads of its own while its context lasts; it wants tokens."""

    def __init__(
        self,
        metadata: Mapping[str, str] = NITRO,
        *,
        document: Mapping[str, object] = DOCUMENT,
        override: Override = lambda method, path, count: None,
    ) -> None:
        self.requests: list[str] = []
        """METHOD PATH, in the order in which they came."""
        self.connection_count = 0
        self.closing = threading.Event()
        self._texts = {f"/latest/meta-data/{name}": text for name, text in metadata.items()}
        self._texts[DOCUMENT_PATH] = json.dumps(document)
        self._override = override
        self._token = ""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return "http://127.0.0.1:{1}".format(*self._server.server_address)

    def answer(self, method: str, path: str, headers: Message) -> Answer:
        """What EC2 would answer."""
        special = self._override(method, path, len(self.requests))
        self.requests.append(f"{method} {path}")
        if special is not None:
            return special
        if "X-Forwarded-For" in headers:
            return Answer(status=403)
        if method == "PUT" and path == TOKEN_PATH:
            lifetime = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if not lifetime.isdecimal() or not 1 <= int(lifetime) <= 21600:
                return Answer(status=400)
            self._token = secrets.token_urlsafe(40)
            return Answer(body=self._token.encode())
        if not self._token or headers.get("X-aws-ec2-metadata-token") != self._token:
            return Answer(status=401)
        text = self._texts.get(path)
        return Answer(status=404) if text is None else Answer(body=text.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    owner: MetadataServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are the point of some tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.owner.connection_count += 1

    def do_GET(self) -> None:
        self._reply()

    do_PUT = do_GET  # noqa: N815 - http.server's name

    def _reply(self) -> None:
        owner = self.server.owner
        answer = owner.answer(self.command, self.path, self.headers)
        if answer.is_silent:
            owner.closing.wait()
            self.close_connection = True
            return
        self.send_response(answer.status)
        size = len(answer.body) if answer.claimed_size is None else answer.claimed_size
        for name, value in {"Content-Length": str(size), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        while answer.is_dripping and not owner.closing.wait(0.02):
            self.wfile.write(b"x")
        self.wfile.write(answer.body)
        self.close_connection = answer.is_dripping or answer.claimed_size is not None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextmanager
def absent_server() -> Iterator[str]:
    """The URL of a port that nobody listens at, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def deaf_server() -> Iterator[str]:
    """The URL of a port where no connection comes about: more are waiting than it takes."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
