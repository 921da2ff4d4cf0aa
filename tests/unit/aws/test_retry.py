"""What is tried again, how often, and after which pauses."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from bundler.aws.retry import FIRST_CONTACT_ATTEMPTS, Retrier, RetryPolicy
from bundler.errors import AwsRefusedError, BundlerError, TransferError

QUICK = RetryPolicy(max_attempts=5, first_delay=0.001, max_delay=0.002)


def refusal(code: str, status: int) -> ClientError:
    reply = {
        "Error": {"Code": code, "Message": "It is so."},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(reply, "PutObject")  # type: ignore[arg-type]  # a reply has more


def silence() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="https://s3")


class Service:
    """Fails as told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def worked(on_throttled: Callable[[], object] = lambda: None) -> Retrier:
    """A retrier that has reached the service before."""
    retrier = Retrier(QUICK, on_throttled=on_throttled)
    retrier.call("look", lambda: None)
    return retrier


PASSING = {
    "500": refusal("InternalError", 500),
    "500 without words": refusal("", 500),
    "503 SlowDown": refusal("SlowDown", 503),
    "503 of HEAD": refusal("503", 503),
    "400 RequestTimeout": refusal("RequestTimeout", 400),
    "400 BadDigest": refusal("BadDigest", 400),
    "400 XAmzContentSHA256Mismatch": refusal("XAmzContentSHA256Mismatch", 400),
    "409 OperationAborted": refusal("OperationAborted", 409),
    "time-out": silence(),
    "reset": ConnectionResetError(104, "Connection reset by peer"),
    "not an answer of AWS": KeyError("ETag"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(name: str) -> None:
    service, retrier = Service(PASSING[name], PASSING[name]), worked()
    assert retrier.call("put s3://b/k", service) == "answer"
    assert service.calls == 3
    assert retrier.retry_count == 2


FINAL = {
    "AccessDenied": (refusal("AccessDenied", 403), "policy, must allow it"),
    "NoSuchBucket": (refusal("NoSuchBucket", 404), "check the bucket's name"),
    "InvalidAccessKeyId": (refusal("InvalidAccessKeyId", 403), "check the access key"),
    "ExpiredToken": (refusal("ExpiredToken", 400), "log in again"),
    "RequestTimeTooSkewed": (refusal("RequestTimeTooSkewed", 403), "check this machine's clock"),
    "AccessControlListNotSupported": (
        refusal("AccessControlListNotSupported", 400),
        "--enable-acls",
    ),
    "NotImplemented": (refusal("NotImplemented", 501), "NotImplemented"),
}


@pytest.mark.parametrize("name", FINAL)
def test_what_is_final_is_told_at_once_with_its_remedy(name: str) -> None:
    failure, words = FINAL[name]
    service, retrier = Service(failure, failure), worked()
    with pytest.raises(AwsRefusedError, match=f"put s3://b/k: It is so.*{words}") as caught:
        retrier.call("put s3://b/k", service)
    assert caught.value.code == name
    assert service.calls == 1
    assert retrier.retry_count == 0


def test_our_own_errors_are_final() -> None:
    service = Service(BundlerError("ours"))
    with pytest.raises(BundlerError, match=r"^ours$"):
        worked().call("put", service)
    assert service.calls == 1


def test_it_gives_up_and_says_how_often_it_tried() -> None:
    service = Service(*[silence()] * 9)
    with pytest.raises(TransferError, match=r"put: Read timeout.*\(tried 5 times\)"):
        worked().call("put", service)
    assert service.calls == QUICK.max_attempts


def test_before_anything_has_worked_it_gives_up_sooner() -> None:
    failure = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
    service, retrier = Service(*[failure] * 9), Retrier(QUICK)
    with pytest.raises(TransferError, match=r"Could not connect.*tried 3 times"):
        retrier.call("look", service)
    assert service.calls == FIRST_CONTACT_ATTEMPTS


def test_who_is_told_to_slow_down_has_reached_the_service() -> None:
    service, retrier = Service(*[refusal("SlowDown", 503)] * 4), Retrier(QUICK)
    assert retrier.call("look", service) == "answer"
    assert service.calls == QUICK.max_attempts


def test_who_is_refused_has_reached_the_service() -> None:
    retrier = Retrier(QUICK)
    with pytest.raises(AwsRefusedError):
        retrier.call("look", Service(refusal("AccessDenied", 403)))
    assert retrier.call("put", Service(*[silence()] * 4)) == "answer"


def test_throttling_is_told_to_whoever_sets_the_pace() -> None:
    told: list[str] = []
    retrier = worked(on_throttled=lambda: told.append("slow down"))
    retrier.call("put", Service(refusal("SlowDown", 503), silence(), refusal("503", 503)))
    assert told == ["slow down"] * 2


def test_a_retry_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bundler")
    worked().call("put s3://b/k", Service(refusal("SlowDown", 503)))
    (record,) = caplog.records
    assert record.message.startswith("put s3://b/k: It is so (SlowDown); S3 asks for fewer")
    assert "attempt 2 of 5 in " in record.message


def test_a_pause_ends_when_the_work_is_given_up() -> None:
    stopped = threading.Event()
    stopped.set()
    retrier = Retrier(RetryPolicy(first_delay=3600.0, max_delay=3600.0))
    service = Service(silence(), silence())
    with pytest.raises(CancelledError):
        retrier.call("put", service, stopped=stopped)
    assert service.calls == 1


def test_pauses_grow_to_a_limit_and_are_random() -> None:
    policy = RetryPolicy(first_delay=1.0, max_delay=10.0)
    most = [policy.delay(attempt, 1.0) for attempt in range(1, 7)]
    assert most == pytest.approx([1, 2, 4, 8, 10, 10])
    least = [policy.delay(attempt, 0.0) for attempt in range(1, 7)]
    assert least == pytest.approx([pause / 10 for pause in most])
