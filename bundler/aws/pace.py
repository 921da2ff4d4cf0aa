"""How many requests run side by side, and how fast their bytes may go."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ConcurrencyGate:
    """Lets at most so many requests run at a time; fewer when the service asks to slow down.

    Additive increase, multiplicative decrease, as in TCP: a throttled request halves the
    limit, as many successes as the limit is raise it by one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._running = 0
        self._successes = 0
        self._passed = 0
        self._ignored_until = 0
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Most requests that may run now."""
        return self._limit

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Run one request; waits for its turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._running < self._limit)
            self._running += 1
            self._passed += 1
        try:
            yield
            self._succeed()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _succeed(self) -> None:
        with self._changed:
            self._successes += 1
            if self._successes >= self._limit:
                self._successes = 0
                self._limit = min(self._most, self._limit + 1)

    def slow_down(self) -> None:
        """Halve the limit: the service has throttled a request."""
        with self._changed:
            # Those that run now are throttled together: they count once.
            if self._passed < self._ignored_until:
                return
            self._limit = max(1, self._limit // 2)
            self._successes = 0
            self._ignored_until = self._passed + self._limit


class BandwidthLimit:
    """Spreads bytes over time; all threads of a command share it."""

    def __init__(
        self, bytes_per_second: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0

    def delay(self, size: int) -> float:
        """Seconds to wait before, or after, `size` bytes pass; 0 when there is no limit."""
        if not self._rate:
            return 0.0
        with self._lock:
            now = self._clock()
            begin = max(self._free_at, now)
            self._free_at = begin + size / self._rate
            return begin - now

    def take(self, size: int, stopped: threading.Event) -> None:
        """Wait until `size` bytes may pass, or `stopped` is set."""
        delay = self.delay(size)
        if delay > 0:
            stopped.wait(delay)
