"""EC2's operations by their names: what a plan says is what is sent."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.validate import ParamValidator

from bundler.aws.pages import read_pages
from bundler.aws.transport import Transport
from bundler.errors import AwsRefusedError, MissingError, UsageError
from bundler.model.ec2_call import Ec2Call
from bundler.model.image import is_text

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

WOULD_SUCCEED = "DryRunOperation"
"""The code by which EC2 says that a request with `DryRun` would have succeeded."""


class Ec2Api:
    """EC2 in one region.  Parameters are checked against the service's model by botocore."""

    def __init__(self, client: "EC2Client", transport: Transport) -> None:
        self._client = client
        self._transport = transport

    @property
    def region(self) -> str:
        """Where requests go."""
        return str(self._client.meta.region_name)

    def send(self, call: Ec2Call, subject: str, key: str = "") -> Mapping[str, Any]:
        """Send a request until it is answered, with `key`; it must bear to be sent twice.

        Raises:
            UsageError: a parameter is none of the operation's.
            AwsRefusedError: EC2 refused, or says that it was not done.
            TransferError: EC2 could not be reached.
            MissingError: this machine's boto3 does not know the operation.
        """
        reply = self._ask(subject, call.operation, call.parameters, key)
        if reply.get("Return") is False:
            raise AwsRefusedError(f"{subject}: EC2 says that it was not done, and no reason")
        return reply

    def send_once(
        self, call: Ec2Call, subject: str, key: str, **lookup: object
    ) -> tuple[dict[str, Any], ...]:
        """Send a request that knows no client token; what is below `key` in its reply.

        Before each further attempt the Describe operation of that key looks, with `lookup`, for
        what an attempt without an answer has made: if there is something, that is the answer.

        Raises:
            AwsRefusedError, TransferError, UsageError, MissingError: as send().
        """
        _check_text(call.parameters, subject)
        method = self._method(call.operation, subject)
        look = self._method(f"Describe{key}", subject)
        attempts = count()

        def attempt() -> tuple[dict[str, Any], ...]:
            # Not by pages(): an attempt that waits for its turn must not wait for another one.
            found = look(**lookup)[key] if next(attempts) else ()
            return tuple(found or method(**call.parameters)[key])

        return self._transport.call(subject, attempt)

    def check(self, call: Ec2Call, subject: str) -> None:
        """Check a request's parameters against the service's model; nothing is sent.

        Raises:
            UsageError: a parameter is none of the operation's.
            MissingError: this machine's boto3 does not know the operation.
        """
        _check_text(call.parameters, subject)
        self._method(call.operation, subject)
        shape = self._client.meta.service_model.operation_model(call.operation).input_shape
        if shape is None:
            return
        report = ParamValidator().validate(dict(call.parameters), shape)
        if report.has_errors():
            words = " ".join(report.generate_report().split())
            raise UsageError(f"{subject}: {words}")

    def dry_run(self, call: Ec2Call, subject: str) -> None:
        """Ask whether a request would succeed (`DryRun`): rights and form, not all else.

        Raises:
            AwsRefusedError: it would be refused, or the server knows no DryRun.
            UsageError, TransferError, MissingError: as send().
        """
        try:
            self._ask(subject, call.operation, {**call.parameters, "DryRun": True})
        except AwsRefusedError as error:
            if error.code == WOULD_SUCCEED:
                return
            raise
        raise AwsRefusedError(
            f"{subject}: expected {WOULD_SUCCEED}, but the server knows no DryRun: it may have "
            "been done"
        )

    def pages(
        self, operation: str, key: str, subject: str, **parameters: object
    ) -> Iterator[dict[str, Any]]:
        """The items below `key` in the replies of a Describe operation, page by page.

        Raises:
            AwsRefusedError, TransferError, MissingError: as send().
        """
        pages = read_pages(
            lambda more: self._ask(subject, operation, {**parameters, **more}, key),
            f"{subject}: EC2 does not tell how to go on",
        )
        for page in pages:
            yield from page[key]

    def _ask(
        self, subject: str, operation: str, parameters: Mapping[str, object], key: str = ""
    ) -> Mapping[str, Any]:
        """Send a request; EC2's own answer has `key`, if only with nothing below it."""
        _check_text(parameters, subject)
        method = self._method(operation, subject)

        def attempt() -> Mapping[str, Any]:
            reply: Mapping[str, Any] = method(**parameters)
            if key:
                _ = reply[key]
            return reply

        return self._transport.call(subject, attempt)

    def _method(self, operation: str, subject: str) -> Callable[..., Any]:
        method: Callable[..., Any] | None = getattr(self._client, xform_name(operation), None)
        if method is None:
            raise MissingError(
                f"{subject}: this boto3 is too old to know {operation}; pip install -U boto3"
            )
        return method


def _check_text(value: object, subject: str) -> None:
    """Refuse words of the command line that botocore could not send.

    Raises:
        UsageError: one is not UTF-8.
    """
    if isinstance(value, str) and not is_text(value):
        raise UsageError(f"{subject}: expected UTF-8, got {value!r}")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _check_text(item, subject)
