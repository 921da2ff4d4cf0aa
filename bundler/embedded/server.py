"""S3, EC2, STS and Auto Scaling of our own on the loopback, for the demo and the tests."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bundler.embedded.ec2 import EmbeddedEc2
from bundler.errors import MissingError

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

ADDRESS = "127.0.0.1"
"""Where the embedded cloud listens, on a free port: nobody else can reach it."""

_POLL_SECONDS = 0.01
"""What shutting down may take."""

_OTHERS = ("AWS_", "BOTO", "MOTO_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@contextmanager
def embedded_cloud(directory: Path, ec2: EmbeddedEc2) -> Iterator[str]:
    """Run a cloud, empty at first, until the block ends; its endpoint's URL.

    Meanwhile this process's environment has made-up credentials and nothing of the caller's
    AWS settings and proxies, so that no request can leave this machine.  `directory` is where
    configuration files are looked for; it has none.

    Raises:
        MissingError: moto is not installed.
    """
    with _private_environment(directory), serve_cloud(ec2) as url:
        yield url


@contextmanager
def serve_cloud(ec2: EmbeddedEc2) -> Iterator[str]:
    """Run a cloud with this EC2, and leave the environment as it is; its endpoint's URL.

    Raises:
        MissingError: moto is not installed.
    """
    server = _make_server(ec2)
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        ec2.close()


def _make_server(ec2: EmbeddedEc2) -> "BaseWSGIServer":
    try:
        # Here, since moto is an extra that only the demo needs.
        from bundler.embedded.application import make_cloud_server
    except ImportError as error:
        raise MissingError(
            f"start the embedded cloud: moto, or a part of it, is not installed ({error}); "
            "pip install 'ami-bundler[demo]'"
        ) from error
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    return make_cloud_server(ADDRESS, ec2)


@contextmanager
def _private_environment(directory: Path) -> Iterator[None]:
    saved = dict(os.environ)
    for name in saved:
        if name.startswith(_OTHERS) or name.lower() in _PROXIES:
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID="demo",
        AWS_SECRET_ACCESS_KEY="demo",  # noqa: S106  the embedded cloud looks at no secrets
        AWS_CONFIG_FILE=str(directory / "no-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(directory / "no-credentials"),
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY="*",
        # Else moto makes 1301 stock images.
        MOTO_EC2_LOAD_DEFAULT_AMIS="false",
    )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
