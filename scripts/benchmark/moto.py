"""A moto server of our own: S3 and EC2 on the loopback, in a process beside the benchmark."""

import importlib.util
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark.daemon import ADDRESS, free_ports, running, wait_until_up
from benchmark.process import BenchError

_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=testing/20060102/us-east-1/s3/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
"""moto verifies nothing, but refuses a private object to a request without any signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moto:
    """A running server."""

    url: str
    pid: int
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
    (port,) = free_ports(1)
    argv = (sys.executable, "-P", "-m", "moto.server", "-H", ADDRESS, "-p", str(port))
    with running(argv, env={"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}) as server:
        moto = Moto(url=f"http://{ADDRESS}:{port}", pid=server.pid)
        wait_until_up("moto", lambda: _is_up(moto), [server])
        yield moto


def _is_up(moto: Moto) -> bool:
    try:
        moto.reset()
    except BenchError:
        return False
    return True
