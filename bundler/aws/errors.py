"""botocore's errors to ours: what AWS said in one line, and what can be done about it."""

import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from traceback import walk_tb
from typing import Any

import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from bundler.aws.refused_call import DENIED, call_remedy, denial_remedy, split_denial
from bundler.aws.refused_manifest import MANIFEST_CODES, manifest_remedy
from bundler.aws.remedies import CLIENT_FAILURES, HEAD_CODES, PASSING_CODES, REMEDIES
from bundler.errors import AwsRefusedError, BundlerError, TransferError
from bundler.model.clock import NOTED_SKEW, S3_MAX_SKEW, describe_skew

MAX_WORDS_LENGTH = 400
"""Most characters of AWS's own words that a message repeats; some are encoded pages."""

_logger = logging.getLogger(__name__)

_SECRETS = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"
    r"|(?<=Signature=)[0-9A-Za-z%/+=]+"
    r"|(?<=Security-Token=)[0-9A-Za-z%/+=]+"
    r"|(?<=://)[^/\s@]+(?=@)"
)
"""Access key ids, signatures, session tokens and the user part of a URL."""


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn botocore's errors into ours; `subject` is operation and subject.

    Raises:
        UsageError: credentials, profile or region are missing or wrong on this side.
        AwsRefusedError: AWS understood the request and refused it.
        TransferError: the network or the service failed, or bytes came damaged.
    """
    try:
        yield
    except ClientError as error:
        raise _client_error(subject, error) from error
    except HTTPClientError as error:
        cause = interruption(error)
        raise cause or _failure(subject, error) from error
    except (
        BotoCoreError,
        ResponseParserError,
        urllib3.exceptions.HTTPError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise _failure(subject, error) from error
    except KeyError as error:  # a captive portal, or no AWS at all, that says 200 to anything
        raise _no_answer(subject, f"without {error}") from error
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        words = _one_line(str(error))
        if _is_of_parser(error):
            raise _no_answer(subject, f"that cannot be read: {words}") from error
        # So botocore says that the credentials have expired; any other is a bug.
        if not (isinstance(error, RuntimeError) and "credentials" in str(error).lower()):
            raise
        code = "ExpiredToken"
        raise AwsRefusedError(f"{subject}: {words}; {REMEDIES[code]}", code=code) from error


def _no_answer(subject: str, got: str) -> TransferError:
    return TransferError(
        f"{subject}: expected an answer of AWS, got one {got}; check the proxy and the "
        "endpoint's URL"
    )


def _is_of_parser(error: Exception) -> bool:
    """Whether botocore's parser raised it: its argument is then the answer, not our request."""
    return any(
        frame.f_globals.get("__name__") == "botocore.parsers"
        for frame, _ in walk_tb(error.__traceback__)
    )


def interruption(error: object) -> BundlerError | CancelledError | None:
    """Our own error, if that is what ended the request: its body could or should not be read."""
    cause = error.kwargs.get("error") if isinstance(error, HTTPClientError) else None
    return cause if isinstance(cause, BundlerError | CancelledError) else None


def error_code(error: ClientError) -> str:
    """The service's error code; replies to HEAD have only a status, named as GET's would be."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return HEAD_CODES.get(code, code)


def _right_region(error: ClientError) -> str:
    """The region where the bucket is, when S3 told so; else empty."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told: dict[str, object] = {**error.response.get("Error", {})}
    return str(told.get("Region") or headers.get("x-amz-bucket-region") or "")


def _client_error(subject: str, error: ClientError) -> BundlerError:
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = str(error.response.get("Error", {}).get("Message", ""))
    remedy = REMEDIES.get(code, "")
    if code in MANIFEST_CODES:
        remedy = manifest_remedy(words) or remedy
    else:
        remedy = call_remedy(code, words) or remedy
    if code == DENIED:
        words, encoded = split_denial(words)
        remedy = denial_remedy(words, error.operation_name, has_encoded=bool(encoded))
        if encoded:
            _logger.info("%s: encoded authorization failure message: %s", subject, encoded)
    if code in _WRONG_REGION_CODES and (region := _right_region(error)):
        remedy = f"the bucket is in {region}: give that region"
    elif code == "BadRequest" and (region := _right_region(error)):
        # HEAD's answer to a signature for another region, among other causes.
        remedy = f"{remedy}; the bucket is in {region}"
    skew = clock_skew(error.response)
    if code in _CLOCK_CODES and skew is not None and abs(skew) >= NOTED_SKEW:
        # RequestExpired is said of session tokens as well.
        told = REMEDIES["RequestTimeTooSkewed"] if code == "RequestExpired" else remedy
        remedy = f"{told}: it is {describe_skew(skew)}"
    elif code in _HIDDEN_CODES and skew is not None and abs(skew) >= S3_MAX_SKEW:
        remedy = f"check this machine's clock: it is {describe_skew(skew)}"
    return refusal(subject, code, words, status=status, remedy=remedy)


def refusal(
    subject: str, code: str, words: str, *, status: int = 0, remedy: str | None = None
) -> AwsRefusedError | TransferError:
    """The error for a service's code and words: final, or of those that may pass."""
    told = remedy if remedy is not None else REMEDIES.get(code, "")
    message = f"{subject}: {_one_line(words) or 'refused'} ({code or status})"
    if told:
        message = f"{message}; {told}"
    if code in PASSING_CODES or (status >= 500 and code != "NotImplemented"):
        return TransferError(message, code=code)
    return AwsRefusedError(message, code=code)


def clock_skew(response: Mapping[str, Any], now: datetime | None = None) -> float | None:
    """Seconds that this machine's clock is ahead of AWS's; None when the reply has no Date."""
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        told = parsedate_to_datetime(headers.get("date", ""))
        return ((now or datetime.now(UTC)) - told).total_seconds()
    except (TypeError, ValueError):
        return None


_CLOCK_CODES = frozenset(
    (
        "InvalidSecurity.RequestHasExpired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    )
)

_HIDDEN_CODES = frozenset(("AccessDenied", "BadRequest"))
"""What replies to HEAD, which have no body, say where GET's say RequestTimeTooSkewed."""

_WRONG_REGION_CODES = frozenset(
    ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed")
)


def _failure(subject: str, error: Exception) -> BundlerError:
    for ancestor in type(error).__mro__:
        if ancestor.__name__ in CLIENT_FAILURES:
            category, remedy = CLIENT_FAILURES[ancestor.__name__]
            break
    else:
        category, remedy = TransferError, ""
    words = _one_line(str(error)) or type(error).__name__
    return category(f"{subject}: {words}; {remedy}" if remedy else f"{subject}: {words}")


def _one_line(words: str) -> str:
    """AWS's words, fit for a terminal: one line, printable, short, without credentials."""
    line = " ".join(words.split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    line = _SECRETS.sub("[hidden]", line)
    if len(line) > MAX_WORDS_LENGTH:
        return f"{line[:MAX_WORDS_LENGTH]}..."
    return line.rstrip(".")
