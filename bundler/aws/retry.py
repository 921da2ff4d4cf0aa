"""When a request is sent again: the one policy for all of AWS."""

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from bundler.aws.errors import translated
from bundler.aws.remedies import THROTTLING_CODES
from bundler.errors import AwsRefusedError, TransferError

Answer = TypeVar("Answer")

_logger = logging.getLogger(__name__)

FIRST_CONTACT_ATTEMPTS = 3
"""Most attempts until anything has worked: a wrong address is likelier then than a passing
failure, and nobody should wait a minute to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and after which pauses.

    What is retried is what raises TransferError: time-outs, connections that are refused or
    cut, 5xx, throttling, and bytes that came damaged.  All else is fatal: AWS understood and
    refused.  See aws/errors.py and aws/remedies.py for which error is which.
    """

    max_attempts: int = 8
    """Times a request is sent before it fails.  Our choice: botocore's own 3 were measured to
    give up on a throttled upload after 2 seconds."""
    first_delay: float = 0.5
    """Most seconds of the first pause; it doubles from pause to pause."""
    max_delay: float = 20.0
    """Most seconds of any pause."""

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait behind failed attempt `attempt` (from 1); `chance` is in [0, 1).

        The whole pause is random, so that many clients that failed together do not come
        back together.
        """
        ceiling = min(self.max_delay, self.first_delay * 2.0 ** (attempt - 1))
        # Never quite at once: what has just failed needs a moment.
        return ceiling * (0.1 + 0.9 * chance)


class Retrier:
    """Sends requests until they succeed or the policy says no; for many threads."""

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        on_throttled: Callable[[], object] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self._on_throttled = on_throttled
        self._chance = chance
        self._lock = threading.Lock()
        self._retry_count = 0
        self._has_worked = False

    @property
    def retry_count(self) -> int:
        """Requests that were sent again so far."""
        return self._retry_count

    def call(
        self,
        subject: str,
        request: Callable[[], Answer],
        *,
        stopped: threading.Event | None = None,
    ) -> Answer:
        """Do `request` until it succeeds; `subject` is operation and subject for messages.

        Raises:
            TransferError: it failed each time; it may succeed later.
            AwsRefusedError, UsageError: AWS, or botocore, refused; that is not tried again.
            CancelledError: `stopped` was set meanwhile.
        """
        for attempt in count(1):
            try:
                with translated(subject):
                    answer = request()
            except TransferError as error:
                self._wait(error, attempt, stopped or threading.Event())
            except AwsRefusedError:
                self._has_worked = True
                raise
            else:
                self._has_worked = True
                return answer
        raise AssertionError("count() never ends")

    def _wait(self, error: TransferError, attempt: int, stopped: threading.Event) -> None:
        """Pause before the next attempt; raises when there is none."""
        is_throttled = error.code in THROTTLING_CODES
        if is_throttled:
            self._on_throttled()
        most = self.policy.max_attempts
        # Whoever is told to slow down has reached the service.
        if not (self._has_worked or is_throttled):
            most = min(most, FIRST_CONTACT_ATTEMPTS)
        if attempt >= most:
            if attempt == 1:
                raise error
            message = f"{error} (tried {attempt} times)"
            raise TransferError(message, code=error.code) from error
        delay = self.policy.delay(attempt, self._chance())
        with self._lock:
            self._retry_count += 1
        _logger.info("%s; attempt %d of %d in %.1f s", error, attempt + 1, most, delay)
        if stopped.wait(delay):
            raise CancelledError
