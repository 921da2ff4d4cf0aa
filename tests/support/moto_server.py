"""The embedded cloud (moto, and an EC2 that knows S3-backed AMIs) for tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from bundler.embedded.ec2 import Ec2Settings, EmbeddedEc2
from bundler.embedded.server import serve_cloud

ACCOUNT_ID = "123456789012"
"""The account that moto plays."""

MOTO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""Any would do: moto never looks at signatures."""


@contextmanager
def moto_server(ec2: EmbeddedEc2 | None = None) -> Iterator[str]:
    """Serve moto, empty, on a free port of 127.0.0.1, which is the URL's."""
    with serve_cloud(ec2 or EmbeddedEc2(Ec2Settings())) as url:
        yield url
