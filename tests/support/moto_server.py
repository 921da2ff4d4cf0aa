"""moto over HTTP, with a RegisterImage that acts.

moto's own RegisterImage reads only name and description; the one here keeps what it is
given, refuses a name that is taken, and looks for the manifest in the S3 that is in use.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ACCOUNT_ID = "123456789012"
"""The account that moto plays."""

MOTO_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""Any would do: moto never looks at signatures."""

FindRegion = Callable[[str, str], str | None]
"""Tells the region of a bucket that has an object; None if it has not, or is not there."""


@contextmanager
def moto_server() -> Iterator[str]:
    """Serve moto, empty, on a free port of 127.0.0.1, which is the URL's."""
    moto_api_backend.reset()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application: WSGIApplication = DomainDispatcherApplication(create_backend_app)
    # moto's ThreadedMotoServer never closes the socket that it listens on.
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    # The pause is what shutdown() may take.
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def replace_register_image(
    monkeypatch: pytest.MonkeyPatch,
    registrations: list[dict[str, Any]],
    find_region: FindRegion,
) -> None:
    """Let RegisterImage act; the arguments of each, refused ones too, go into the list."""

    def register_image(response: AmisResponse) -> ActionResult:
        arguments = dict(response._get_params())
        registrations.append(arguments)
        response.error_on_dryrun()
        backend = response.ec2_backend
        _check_name(backend, arguments["Name"])
        _check_manifest(backend, arguments.get("ImageLocation", ""), find_region)
        ami = _RegisteredAmi(backend, arguments)
        backend.amis[ami.id] = ami
        return ActionResult({"ImageId": ami.id})

    monkeypatch.setattr(AmisResponse, "register_image", register_image)


def _check_name(backend: Any, name: str) -> None:
    for ami in backend.amis.values():
        if ami.name == name and ami.owner_id == backend.account_id:
            raise EC2ClientError(
                "InvalidAMIName.Duplicate",
                f"AMI name {ami.name} is already in use by AMI {ami.id}",
            )


def _check_manifest(backend: Any, location: str, find_region: FindRegion) -> None:
    bucket, _, key = location.partition("/")
    region = find_region(bucket, key)
    if region != backend.region_name:
        status = "404 (Not Found)" if region is None else "301 (Moved Permanently)"
        raise EC2ClientError(
            "InvalidManifest",
            f"HTTP {status} response for URL http://s3.amazonaws.com/{bucket}/{key}: "
            "check your manifest path is correct and in the correct region.",
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
