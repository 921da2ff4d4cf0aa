"""botocore's errors to ours."""

import re
from concurrent.futures import CancelledError
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import botocore.exceptions
import botocore.parsers
import botocore.session
import pytest
import urllib3.exceptions
from botocore.exceptions import ClientError, HTTPClientError

from bundler.aws.errors import MAX_WORDS_LENGTH, interruption, translated
from bundler.aws.remedies import CLIENT_FAILURES, PASSING_CODES, REMEDIES
from bundler.errors import (
    AwsRefusedError,
    BundlerError,
    HostError,
    MissingError,
    TransferError,
    UsageError,
)

SUBJECT = "put s3://bucket/key"


def client_error(
    code: str,
    message: str = "It is so.",
    *,
    status: int = 400,
    headers: dict[str, str] | None = None,
    **elements: str,
) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message, **elements},  # type: ignore[typeddict-item]
            "ResponseMetadata": {  # type: ignore[typeddict-item]
                "HTTPStatusCode": status,
                "HTTPHeaders": headers or {},
            },
        },
        "PutObject",
    )


def raised(error: Exception) -> BundlerError:
    with pytest.raises(BundlerError) as caught, translated(SUBJECT):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        ("AccessDenied", 403, "IAM policy"),
        ("NoSuchBucket", 404, "bucket's name"),
        ("NoSuchKey", 404, "uploaded completely"),
        ("InvalidAccessKeyId", 403, "access key"),
        ("SignatureDoesNotMatch", 403, "secret access key"),
        ("RequestTimeTooSkewed", 403, "clock"),
        ("ExpiredToken", 400, "log in again"),
        ("PermanentRedirect", 301, "another region"),
        ("AuthorizationHeaderMalformed", 400, "another region"),
        ("AccessControlListNotSupported", 400, "BucketOwnerPreferred"),
        ("InvalidManifest", 400, "aws-exec-read"),
        ("InvalidAMIName.Duplicate", 400, "another AMI name"),
        ("UnauthorizedOperation", 403, "must allow it (ec2:PutObject, or what that needs)"),
        ("NotImplemented", 501, ""),
        ("Unheard.Of", 400, ""),
    ],
)
def test_refusals_keep_code_and_words_and_tell_what_helps(
    code: str, status: int, remedy: str
) -> None:
    error = raised(client_error(code, status=status))
    assert isinstance(error, AwsRefusedError)
    assert error.code == code
    assert str(error).startswith(f"{SUBJECT}: It is so ({code})")
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SlowDown", 503),
        ("InternalError", 500),
        ("Unheard.Of", 500),
        ("502", 502),
        ("RequestTimeout", 400),
        ("BadDigest", 400),
        ("XAmzContentSHA256Mismatch", 400),
        ("RequestLimitExceeded", 503),
        ("Throttling", 400),
        ("OperationAborted", 409),
    ],
)
def test_failures_that_may_pass_are_transfer_errors(code: str, status: int) -> None:
    error = raised(client_error(code, status=status))
    assert isinstance(error, TransferError)
    assert f"({code})" in str(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("404", "NotFound"),
        ("403", "AccessDenied"),
        ("301", "PermanentRedirect"),
        ("400", "BadRequest"),
    ],
)
def test_replies_to_head_have_only_a_status(status: str, code: str) -> None:
    error = raised(client_error(status, "Not Found", status=int(status)))
    assert isinstance(error, AwsRefusedError)
    assert error.code == code
    assert REMEDIES[code] in str(error)


@pytest.mark.parametrize(
    "error",
    [
        client_error("PermanentRedirect", headers={"x-amz-bucket-region": "eu-west-3"}),
        client_error("AuthorizationHeaderMalformed", Region="eu-west-3"),
        client_error("301", status=301, headers={"x-amz-bucket-region": "eu-west-3"}),
    ],
    ids=["header", "element", "head"],
)
def test_the_right_region_is_named_when_it_is_told(error: ClientError) -> None:
    assert "the bucket is in eu-west-3: give that region" in str(raised(error))


@pytest.mark.parametrize(
    ("skew", "remedy"),
    [
        (
            timedelta(),
            "; temporary credentials have expired: log in again .*; if they have not, ",
        ),
        (
            timedelta(hours=-1),
            "; check this machine's clock: it is 3[56][0-9][0-9] s ahead of AWS's clock$",
        ),
    ],
)
def test_what_has_expired_is_told_by_the_clock(skew: timedelta, remedy: str) -> None:
    """EC2 says RequestExpired of session tokens, and of requests that are too old."""
    date = format_datetime(datetime.now(UTC) + skew, usegmt=True)
    error = raised(client_error("RequestExpired", "Request has expired.", headers={"date": date}))
    assert re.search(remedy, str(error)), error


URL = "https://s3.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (botocore.exceptions.NoCredentialsError(), UsageError),
        (
            botocore.exceptions.PartialCredentialsError(provider="env", cred_var="SECRET"),
            UsageError,
        ),
        (botocore.exceptions.ProfileNotFound(profile="nobody"), UsageError),
        (botocore.exceptions.NoRegionError(), UsageError),
        (botocore.exceptions.InvalidRegionError(region_name="a b"), UsageError),
        (botocore.exceptions.ParamValidationError(report="bad\nbucket"), UsageError),
        (botocore.exceptions.ConfigParseError(path="config"), UsageError),
        (
            botocore.exceptions.CredentialRetrievalError(provider="process", error_msg="no"),
            AwsRefusedError,
        ),
        (botocore.exceptions.UnauthorizedSSOTokenError(), AwsRefusedError),
        (botocore.exceptions.MissingDependencyException(msg="awscrt"), MissingError),
        (botocore.exceptions.EndpointConnectionError(endpoint_url=URL), TransferError),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url=URL), TransferError),
        (botocore.exceptions.ReadTimeoutError(endpoint_url=URL), TransferError),
        (botocore.exceptions.ConnectionClosedError(endpoint_url=URL), TransferError),
        (botocore.exceptions.ResponseStreamingError(error="cut"), TransferError),
        (
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            TransferError,
        ),
        (botocore.exceptions.FlexibleChecksumError(error_msg="CRC"), TransferError),
        (
            botocore.exceptions.SSLError(endpoint_url=URL, error=OSError("certificate")),
            TransferError,
        ),
        (botocore.exceptions.ProxyConnectionError(proxy_url=URL), TransferError),
        (botocore.parsers.ResponseParserError("<html>\n</html>"), TransferError),
        (urllib3.exceptions.ProtocolError("cut"), TransferError),
        (ConnectionResetError("reset"), TransferError),
        (TimeoutError(), TransferError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_botocore_errors_have_a_category(error: Exception, expected: type[BundlerError]) -> None:
    translation = raised(error)
    assert type(translation) is expected
    assert str(translation).startswith(f"{SUBJECT}: ")
    assert "\n" not in str(translation)


def test_every_class_in_the_table_is_one_of_botocores_own() -> None:
    newer = {"LoginError"}
    known = vars(botocore.exceptions).keys() | {"ResponseParserError"} | newer
    assert CLIENT_FAILURES.keys() <= known


def test_no_remedy_promises_what_passes_by_itself_and_none_is_empty() -> None:
    assert all(REMEDIES.values())
    assert not PASSING_CODES & {"AccessDenied", "RequestTimeTooSkewed"}


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        ("key AKIAIOSFODNN7EXAMPLE is unknown", "AKIAIOSFODNN7EXAMPLE"),
        ("in 'Credential=ASIAIOSFODNN7EXAMPLE/2026', Signature=abc123def", "abc123def"),
        ("X-Amz-Security-Token=IQoJb3Jp/Z2lu bad", "IQoJb3Jp/Z2lu"),
        ("no route to https://user:password@proxy:3128/", "password"),
    ],
)
def test_messages_hold_no_credentials(words: str, hidden: str) -> None:
    error = raised(client_error("AccessDenied", words))
    assert hidden not in str(error)
    assert "[hidden]" in str(error)


def test_a_message_is_one_short_printable_line() -> None:
    error = raised(client_error("Odd", "first\r\nsecond \x1b[31mred " + "x" * 2000))
    assert "first second ?[31mred" in str(error)
    assert len(str(error)) < MAX_WORDS_LENGTH + 100


def test_our_own_error_inside_a_request_comes_out_unchanged() -> None:
    cause = HostError("read part: disk broken")
    with pytest.raises(HostError, match="read part: disk broken"), translated(SUBJECT):
        raise HTTPClientError(error=cause)


@pytest.mark.parametrize("cause", [HostError("disk"), CancelledError()])
def test_interruption_tells_our_own_errors(cause: Exception) -> None:
    assert interruption(HTTPClientError(error=cause)) is cause


@pytest.mark.parametrize("error", [None, HTTPClientError(error=OSError()), ValueError()])
def test_interruption_leaves_other_errors_alone(error: Exception | None) -> None:
    assert interruption(error) is None


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(AttributeError, match="bug"), translated(SUBJECT):
        raise AttributeError("bug")


def test_an_answer_that_is_none_of_aws() -> None:
    reply: dict[str, str] = {}
    message = "expected an answer of AWS, got one without 'Rules'"
    with pytest.raises(TransferError, match=message), translated(SUBJECT):
        reply["Rules"]


@pytest.mark.parametrize("header", ["Last-Modified", "Content-Length"])
def test_an_answer_that_botocores_parser_cannot_read(header: str) -> None:
    model = botocore.session.get_session().get_service_model("s3")
    shape = model.shape_for("HeadObjectOutput")
    answer = {"status_code": 200, "headers": {header: "no such thing"}, "body": b""}
    message = "^put s3://bucket/key: expected an answer of AWS, got one that cannot be read: "
    with pytest.raises(TransferError, match=message), translated(SUBJECT):
        botocore.parsers.create_parser("rest-xml").parse(answer, shape)
