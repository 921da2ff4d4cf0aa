"""A cloud on the loopback: EC2, STS, EBS and one of two S3 servers, behind a proxy that can fail.

moto and Swift's S3 share no code: what holds for both is not one server's habit.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from bundler.aws.bucket import S3Bucket
from bundler.aws.retry import RetryPolicy
from bundler.aws.s3 import NO_ACL, S3BundleStore
from bundler.aws.session import Cloud
from bundler.aws.transport import TransportSettings
from bundler.embedded.ebs import EmbeddedEbs
from bundler.embedded.ec2 import Ec2Settings, EmbeddedEc2
from bundler.model.image import ImageLocation
from bundler.workflow.ports import BundleStore
from tests.support.ec2_objects import S3Objects
from tests.support.fault_proxy import FaultProxy
from tests.support.faults import Fault, FaultKind, FaultPlan, Reply, Request, error_reply
from tests.support.moto_server import ACCOUNT_ID, MOTO_CREDENTIALS, moto_server
from tests.support.swift import SWIFT_CREDENTIALS, SWIFT_REGION, empty_account, swift_url

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = [
    "ACCOUNT_ID",
    "REGION",
    "S3_SERVERS",
    "CloudServer",
    "Fault",
    "FaultKind",
    "Reply",
    "Request",
    "client_of",
    "cloud_server",
    "error_reply",
    "put_object",
    "refuse_references",
    "s3_client",
    "set_cloud_environment",
]

REGION = SWIFT_REGION
"""The region of tests that need just one."""

S3_SERVERS = ("moto", "swift")
"""The servers that S3 tests run against, for `@pytest.fixture(params=S3_SERVERS)`."""

on_moto = pytest.mark.parametrize("server", ["moto"], indirect=True)
"""A test in which the fixture `server` is one of S3_SERVERS, and any of them will do."""

slow_on_swift = pytest.mark.parametrize(
    "server", ["moto", pytest.param("swift", marks=pytest.mark.slow)], indirect=True
)
"""A test of a thousand objects, for each of which Swift takes its time."""

LENIENT_EC2 = Ec2Settings(checks_acl=False)
"""EC2 that reads objects whatever their ACL: most tests put theirs without any."""


@dataclass(slots=True, kw_only=True)
class CloudServer:
    """The running servers: set `intercept` to answer a request, or to hold it, before them."""

    url: str
    """The proxy's."""
    s3: str
    """One of S3_SERVERS."""
    requests: list[Request]
    faults: FaultPlan
    ec2: EmbeddedEc2
    credentials: dict[str, str] = field(repr=False)
    """Of the S3 server, as variables of the environment; moto takes any."""
    intercept: Callable[[Request], Reply | None] = lambda request: None

    @property
    def ebs(self) -> EmbeddedEbs:
        """The EBS direct APIs."""
        return self.ec2.ebs

    @property
    def registrations(self) -> list[dict[str, Any]]:
        """Arguments of each RegisterImage, refused ones too."""
        return self.ec2.registrations

    def find(self, method: str, path: str, query: str = "") -> list[Request]:
        """The requests of one method to one path, with `query` in their query string."""
        return [
            request
            for request in self.requests
            if request.method == method and request.path == path and query in request.query
        ]


def set_cloud_environment(
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    credentials: Mapping[str, str] = MOTO_CREDENTIALS,
) -> None:
    """Let boto3 find these credentials, no configuration file and no instance metadata."""
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_AUTO_SCALING",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_EBS",
        "AWS_ENDPOINT_URL_EC2",
        "AWS_ENDPOINT_URL_STS",
        "AWS_SESSION_TOKEN",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, text in credentials.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(directory / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    # Else moto makes 1301 stock images, all of them the caller's own.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


@contextmanager
def cloud_server(
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    *,
    s3: str = "moto",
    settings: Ec2Settings = LENIENT_EC2,
) -> Iterator[CloudServer]:
    """Serve an empty cloud with one of S3_SERVERS; the environment's endpoint is not set.

    Swift knows the region REGION alone, and no ACL for EC2.  Where it cannot run, the test is
    skipped.
    """
    assert s3 in S3_SERVERS
    credentials = MOTO_CREDENTIALS if s3 == "moto" else SWIFT_CREDENTIALS
    set_cloud_environment(monkeypatch, directory, credentials)
    with ExitStack() as stack:
        if s3 == "moto":
            ec2 = EmbeddedEc2(settings)
            s3_url = moto_url = stack.enter_context(moto_server(ec2))
        else:
            s3_url = swift_url()
            client = client_of(s3_url, credentials)
            empty_account(client)
            ec2 = EmbeddedEc2(replace(settings, objects=S3Objects(client), checks_acl=False))
            moto_url = stack.enter_context(moto_server(ec2))
        addresses = {"s3": s3_url, "": moto_url}
        proxy = stack.enter_context(
            FaultProxy(lambda request: _address_of(addresses[_service_of(request)]))
        )
        cloud = CloudServer(
            url=proxy.url,
            s3=s3,
            requests=proxy.requests,
            faults=proxy.faults,
            ec2=ec2,
            credentials=dict(credentials),
        )
        proxy.intercept = lambda request: cloud.intercept(request)
        yield cloud


def refuse_references(server: CloudServer, code: str) -> None:
    """Let EC2 be one that does not know, or refuses, DescribeImageReferences."""
    server.ec2.settings = replace(server.ec2.settings, reference_refusal=code)


def _service_of(request: Request) -> str:
    """s3, or empty: by the scope of the credential, or for want of one by the path."""
    authorization = request.headers.get("authorization")
    is_s3 = request.path != "/" if authorization is None else "/s3/" in authorization
    return "s3" if is_s3 else ""


def _address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


QUICK = TransportSettings(policy=RetryPolicy(max_attempts=2, first_delay=0.01))
"""Settings of clients that do not try for long."""


def open_cloud(
    server: CloudServer, *, region: str = REGION, settings: TransportSettings = QUICK
) -> Cloud:
    """The server as the command line sees it."""
    return Cloud.open(region=region, endpoint_url=server.url, settings=settings)


def s3_client(server: CloudServer, *, region: str = REGION) -> "S3Client":
    """A client of the server; what fails is not tried again."""
    return open_cloud(server, region=region).s3()


def open_store(
    server: CloudServer,
    location: ImageLocation,
    *,
    region: str = REGION,
    settings: TransportSettings = QUICK,
    acl: str = NO_ACL,
    progress: Callable[[int], object] | None = None,
) -> S3BundleStore:
    """A store on the server, as the command line makes it."""
    cloud = open_cloud(server, region=region, settings=settings)
    return S3BundleStore(
        cloud.s3(), location, transport=cloud.transport, acl=acl, progress=progress
    )


def make_bucket(server: CloudServer, name: str, *, region: str = REGION, acl: str = "") -> None:
    """Make a bucket as the command line does."""
    S3Bucket(s3_client(server, region=region), name).create(acl=acl, tags={})


def put_object(store: BundleStore, name: str, content: bytes, body: BinaryIO | None = None) -> None:
    """Put an object with its own SHA-1."""
    digest = sha1(content, usedforsecurity=False).digest()
    store.put(name, body or io.BytesIO(content), sha1=digest)


def client_of(
    url: str, credentials: Mapping[str, str], *, config: Config | None = None
) -> "S3Client":
    """A client that is none of ours, and needs no environment: of the proxy or of a server."""
    session = _session(credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"])
    path_style = Config(s3={"addressing_style": "path"}).merge(config or Config())
    return session.client("s3", region_name=REGION, endpoint_url=url, config=path_style)


@cache
def _session(access_key: str, secret_key: str) -> boto3.session.Session:
    """Kept, as it reads the service's model at its first client only."""
    return boto3.session.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=REGION
    )
