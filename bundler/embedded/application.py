"""moto's server with the embedded EC2 and S3 in the place of its own."""

from typing import TYPE_CHECKING, Any

from moto.ec2.responses import EC2Response
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.responses import S3Response
from werkzeug.serving import BaseWSGIServer, make_server

from bundler.embedded.attributes import AttributeActions
from bundler.embedded.copies import CopyActions
from bundler.embedded.ec2 import EmbeddedEc2
from bundler.embedded.images import ImageActions
from bundler.embedded.instances import InstanceActions
from bundler.embedded.references import ReferenceActions
from bundler.embedded.s3 import EmbeddedS3Response

if TYPE_CHECKING:
    from flask import Flask


class EmbeddedEc2Response(
    ImageActions, AttributeActions, CopyActions, InstanceActions, ReferenceActions
):
    """All that the embedded EC2 answers otherwise than moto."""


def make_cloud_server(address: str, ec2: EmbeddedEc2) -> BaseWSGIServer:
    """A server, empty, on a free port of `address`."""
    moto_api_backend.reset()  # moto keeps its objects for as long as the process lives
    ours: dict[object, type[Any]] = {
        EC2Response: type("BoundEc2Response", (EmbeddedEc2Response,), {"ec2": ec2}),
        S3Response: EmbeddedS3Response,
    }

    def create_app(service: Any) -> "Flask":
        app = create_backend_app(service)
        views: dict[str, Any] = dict(app.view_functions)
        for view in views.values():
            owner = getattr(view.callback, "__self__", None)
            if owner in ours:
                view.callback = getattr(ours[owner], view.callback.__name__)
        return app

    # Not moto's own ThreadedMotoServer: it never closes the socket that it listens on.
    application = DomainDispatcherApplication(create_app)
    return make_server(address, 0, application, threaded=True, request_handler=MotoRequestHandler)
