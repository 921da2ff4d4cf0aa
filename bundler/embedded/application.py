"""moto's server with the embedded EC2, S3 and EBS direct APIs in the place of its own."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from moto.ec2.responses import EC2Response
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.responses import S3Response
from werkzeug.serving import BaseWSGIServer, make_server
from werkzeug.wrappers import Request

from bundler.embedded.admission import AdmissionActions
from bundler.embedded.attributes import AttributeActions
from bundler.embedded.copies import CopyActions
from bundler.embedded.ebs_application import EbsApplication, is_ebs_request
from bundler.embedded.ec2 import EmbeddedEc2
from bundler.embedded.images import ImageActions
from bundler.embedded.instances import InstanceActions
from bundler.embedded.references import ReferenceActions
from bundler.embedded.s3 import EmbeddedS3Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Flask


class EmbeddedEc2Response(
    AdmissionActions,
    ImageActions,
    AttributeActions,
    CopyActions,
    InstanceActions,
    ReferenceActions,
):
    """All that the embedded EC2 answers otherwise than moto."""


class ClockRequestHandler(MotoRequestHandler):
    """Writes answers, with the time of the embedded EC2's clock."""

    ec2: ClassVar[EmbeddedEc2]

    def date_time_string(self, timestamp: float | None = None) -> str:
        """For the header Date."""
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.ec2.settings.clock_lead.total_seconds())


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

    application = DomainDispatcherApplication(create_app)
    ebs = EbsApplication(ec2.ebs)

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        if is_ebs_request(request):
            return ebs.answer(request)(environ, start_response)
        chunks: Iterable[bytes] = application(environ, start_response)
        return chunks

    handler = type("BoundRequestHandler", (ClockRequestHandler,), {"ec2": ec2})
    # Not moto's own ThreadedMotoServer: it never closes the socket that it listens on.
    return make_server(address, 0, answer, threaded=True, request_handler=handler)
