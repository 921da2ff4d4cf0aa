"""A cloud on the loopback: moto over HTTP, with requests on record and a RegisterImage that acts.

moto's own RegisterImage reads only name and description; the one here keeps what it is
given, refuses a name that is taken, and looks for the manifest in moto's S3.
"""

import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.utils import random_ami_id
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from bundler.aws.session import Cloud
from bundler.workflow.ports import BundleStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from mypy_boto3_s3 import S3Client

ACCOUNT_ID = "123456789012"
"""The account that moto plays."""

REGION = "eu-west-1"
"""The region of tests that need just one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the server saw it; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply that a test gives in moto's stead.

    A body shorter than `length` says is a stream that breaks: the connection is closed.
    """

    status: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


@dataclass(slots=True)
class CloudServer:
    """The running server: set `intercept` to answer a request, or to hold it, before moto."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    registrations: list[dict[str, Any]] = field(default_factory=list)
    """Arguments of each RegisterImage, refused ones too."""
    intercept: Callable[[Request], Reply | None] = lambda request: None

    def find(self, method: str, path: str, query: str = "") -> list[Request]:
        """The requests of one method to one path, with `query` in their query string."""
        return [
            request
            for request in self.requests
            if request.method == method and request.path == path and query in request.query
        ]


def set_cloud_environment(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Let boto3 find made-up credentials, no configuration file and no instance metadata."""
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
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
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(directory / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(directory / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    # Else moto makes 1301 stock images, all of them the caller's own.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


@contextmanager
def cloud_server(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[CloudServer]:
    """Serve moto, empty, on a free port of 127.0.0.1; the environment's endpoint is not set."""
    set_cloud_environment(monkeypatch, directory)
    cloud = CloudServer()
    monkeypatch.setattr(AmisResponse, "register_image", _register_image_of(cloud))
    moto_api_backend.reset()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = _recorded(cloud, DomainDispatcherApplication(create_backend_app))
    # moto's ThreadedMotoServer never closes the socket that it listens on.
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    # The pause is what shutdown() may take.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    cloud.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3_client(server: CloudServer, *, region: str = REGION, attempts: int = 2) -> "S3Client":
    """A client of the server that does not try for long."""
    return Cloud.open(region=region, endpoint_url=server.url, attempts=attempts).s3()


def put_object(store: BundleStore, name: str, content: bytes, body: BinaryIO | None = None) -> None:
    """Put an object with its own SHA-1."""
    digest = sha1(content, usedforsecurity=False).digest()
    store.put(name, body or io.BytesIO(content), sha1=digest)


def _recorded(cloud: CloudServer, application: "WSGIApplication") -> "WSGIApplication":
    def respond(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            query=environ.get("QUERY_STRING", ""),
            headers={
                name.removeprefix("HTTP_").replace("_", "-").lower(): value
                for name, value in environ.items()
                if name.startswith("HTTP_") or name in ("CONTENT_LENGTH", "CONTENT_TYPE")
            },
        )
        cloud.requests.append(request)
        reply = cloud.intercept(request)
        if reply is None:
            return application(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        length = len(reply.body) if reply.length is None else reply.length
        start(reply.status, [("Content-Length", str(length)), *reply.headers])
        return [reply.body]

    return respond


def error_reply(status: str, code: str, **elements: str) -> Reply:
    """S3's error document; further elements are such as Region."""
    further = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items())
    body = f"<Error><Code>{code}</Code><Message>It is so.</Message>{further}</Error>"
    return Reply(status=status, body=body.encode(), headers=(("Content-Type", "application/xml"),))


def _register_image_of(cloud: CloudServer) -> Callable[[AmisResponse], ActionResult]:
    def register_image(response: AmisResponse) -> ActionResult:
        arguments = dict(response._get_params())
        cloud.registrations.append(arguments)
        response.error_on_dryrun()
        backend = response.ec2_backend
        _check_registration(backend, arguments)
        ami = _RegisteredAmi(backend, arguments)
        backend.amis[ami.id] = ami
        return ActionResult({"ImageId": ami.id})

    return register_image


def _check_registration(backend: Any, arguments: dict[str, Any]) -> None:
    for ami in backend.amis.values():
        if ami.name == arguments["Name"] and ami.owner_id == backend.account_id:
            raise EC2ClientError(
                "InvalidAMIName.Duplicate",
                f"AMI name {ami.name} is already in use by AMI {ami.id}",
            )
    bucket, _, key = arguments.get("ImageLocation", "").partition("/")
    buckets = s3_backends[backend.account_id][backend.partition].buckets
    if bucket not in buckets or key not in buckets[bucket].keys:
        raise EC2ClientError(
            "InvalidManifest",
            f"HTTP 404 (Not Found) response for URL http://s3.amazonaws.com/{bucket}/{key}: "
            "check your manifest path is correct and in the correct region.",
        )
    if buckets[bucket].region_name != backend.region_name:
        raise EC2ClientError(
            "InvalidManifest",
            f"HTTP 301 (Moved Permanently) response for URL http://s3.amazonaws.com/{bucket}/"
            f"{key}: check your manifest path is correct and in the correct region.",
        )


class _RegisteredAmi(Ami):
    """An S3-backed AMI as DescribeImages shows it."""

    # moto finds the service of a model by the path of its module.
    __module__ = Ami.__module__

    def __init__(self, backend: Any, arguments: dict[str, Any]) -> None:
        super().__init__(
            backend,
            random_ami_id(),
            name=arguments["Name"],
            description=arguments.get("Description", ""),
            virtualization_type=arguments.get("VirtualizationType", "paravirtual"),
            architecture=arguments.get("Architecture", "i386"),
            image_location=arguments["ImageLocation"],
            hypervisor="xen",
            root_device_type="instance-store",
            root_device_name=arguments.get("RootDeviceName", "/dev/sda1"),
            region_name=f"{backend.region_name}a",
        )
        self.kernel_id = arguments.get("KernelId")
        self.ramdisk_id = arguments.get("RamdiskId")
        self._mappings = arguments.get("BlockDeviceMappings", [])

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return list(self._mappings)
