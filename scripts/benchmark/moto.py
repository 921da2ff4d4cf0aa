"""A moto server of our own: S3 and EC2 on the loopback, in a process beside the benchmark."""

import importlib.util
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path

from benchmark.process import BenchError

_ADDRESS = "127.0.0.1"
_START_SECONDS = 60
_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=testing/20060102/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""moto verifies nothing, but refuses a private object to a request without any signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moto:
    """A running server."""

    url: str
    bucket: str = "bench-bucket"

    def reset(self) -> None:
        """Forget everything (moto keeps objects in memory) and make the bucket."""
        self._request("POST", "moto-api/reset")
        self._request("PUT", self.bucket)

    def fetch_all(self, directory: Path) -> None:
        """Write every object of the bucket to `directory`, without its prefix."""
        listing = self._request("GET", f"{self.bucket}?list-type=2").decode()
        for key in re.findall(r"<Key>([^<]+)</Key>", listing):
            body = self._request("GET", f"{self.bucket}/{key}")
            (directory / Path(key).name).write_bytes(body)

    def client_environment(self) -> dict[str, str]:
        """Variables for a client: credentials that mean nothing, and no instance metadata."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _request(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(  # noqa: S310  the URL is ours
            f"{self.url}/{path}", method=method, headers={"Authorization": _AUTHORIZATION}
        )
        try:
            with urllib.request.urlopen(request) as response:  # noqa: S310  the URL is ours
                body: bytes = response.read()
                return body
        except urllib.error.URLError as error:
            raise BenchError(f"moto: {method} {path}: {error}") from error


@contextmanager
def moto_server() -> Iterator[Moto]:
    """Start a server; stop it at the end.

    Raises:
        BenchError: moto is not installed, or did not start.
    """
    if importlib.util.find_spec("moto") is None:
        raise BenchError("moto: not installed; pip install 'ami-bundler[demo]'")
    port = _free_port()
    server = subprocess.Popen(  # noqa: S603  a list, no shell; arguments are the benchmark's own
        (sys.executable, "-P", "-m", "moto.server", "-H", _ADDRESS, "-p", str(port)),
        env={**environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        moto = Moto(url=f"http://{_ADDRESS}:{port}")
        _wait_until_up(moto, server)
        yield moto
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_ADDRESS, 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_up(moto: Moto, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            moto.reset()
        except BenchError:
            time.sleep(0.2)
        else:
            return
    raise BenchError(f"moto: the server did not start within {_START_SECONDS} s")
