"""What all requests of one command share: retries, pace, and the account of what was done."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from bundler.aws.pace import BandwidthLimit, ConcurrencyGate
from bundler.aws.retry import Answer, Retrier, RetryPolicy

MAX_CONCURRENCY = 8
"""Requests side by side when the user does not say.  Our choice, measured on the loopback."""

TIMEOUT = 60.0
"""Seconds of silence after which a connection counts as dead."""


BANDWIDTH_SHARE = 2 * 1024 * 1024
"""Bytes a second that a request should have under a limit.  Our choice: 5 seconds a usual part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """What the user may choose of it."""

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    max_concurrency: int = MAX_CONCURRENCY
    max_bandwidth: int = 0
    """Bytes a second, up and down each command; 0: as fast as it goes."""
    timeout: float = TIMEOUT
    """Seconds of silence after which a connection counts as dead."""
    is_requester_paying: bool = False
    """Whether the caller pays for requests to somebody else's bucket (RequestPayer)."""

    @property
    def concurrency(self) -> int:
        """Requests side by side: so few under a slow limit that each one is whole soon.

        What is whole need not be sent again after an interruption, and no connection is silent
        for so long that the service gives it up.
        """
        if not self.max_bandwidth:
            return self.max_concurrency
        return max(1, min(self.max_concurrency, self.max_bandwidth // BANDWIDTH_SHARE))


class Transport:
    """Retries, pace and counts of one command; for many threads."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self.settings = settings or TransportSettings()
        self.gate = ConcurrencyGate(self.settings.concurrency)
        self.bandwidth = BandwidthLimit(self.settings.max_bandwidth)
        self._retrier = Retrier(self.settings.policy, on_throttled=self.gate.slow_down)

    @property
    def retry_count(self) -> int:
        """Requests that were sent again so far."""
        return self._retrier.retry_count

    def call(
        self,
        subject: str,
        request: Callable[[], Answer],
        *,
        stopped: threading.Event | None = None,
    ) -> Answer:
        """Do a request until it succeeds; see Retrier.call().

        Each attempt waits for its turn, so that one that was throttled comes back to fewer.
        """

        def attempt() -> Answer:
            with self.gate.slot():
                return request()

        return self._retrier.call(subject, attempt, stopped=stopped)
