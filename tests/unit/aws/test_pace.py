"""How many requests run side by side, and how fast their bytes go."""

import threading

import pytest

from bundler.aws.pace import BandwidthLimit, ConcurrencyGate
from bundler.aws.transport import TransportSettings

PATIENCE = 20.0
"""Seconds after which a test that waits for a thread has failed."""


class Workers:
    """Threads that hold a slot until they are told to give it back."""

    def __init__(self, gate: ConcurrencyGate, count: int) -> None:
        self.running = 0
        self.most_running = 0
        self._gate = gate
        self._lock = threading.Lock()
        self._entered = threading.Semaphore(0)
        self._leave = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._work) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        with self._gate.slot():
            with self._lock:
                self.running += 1
                self.most_running = max(self.most_running, self.running)
            self._entered.release()
            self._leave.acquire()
            with self._lock:
                self.running -= 1

    def wait_for_entries(self, count: int) -> None:
        for _ in range(count):
            assert self._entered.acquire(timeout=PATIENCE)

    def nobody_enters(self) -> bool:
        return not self._entered.acquire(timeout=0.05)

    def let_leave(self, count: int) -> None:
        for _ in range(count):
            self._leave.release()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_no_more_run_than_may() -> None:
    workers = Workers(ConcurrencyGate(3), 10)
    workers.wait_for_entries(3)
    assert workers.nobody_enters()
    workers.let_leave(10)
    workers.join()
    assert workers.most_running == 3


def test_slowing_down_halves_what_may_run() -> None:
    gate = ConcurrencyGate(8)
    for expected in (4, 2, 1, 1):
        gate.slow_down()
        assert gate.limit == expected
        for _ in range(expected):  # requests that began under the new limit
            with gate.slot():
                pass


def test_requests_that_are_throttled_together_count_once() -> None:
    gate = ConcurrencyGate(8)
    for _ in range(8):
        gate.slow_down()
    assert gate.limit == 4


def test_success_lets_more_run_again_one_by_one() -> None:
    gate = ConcurrencyGate(4)
    gate.slow_down()
    limits = []
    for _ in range(20):
        with gate.slot():
            pass
        limits.append(gate.limit)
    assert limits[0] == 2
    assert limits[-1] == 4
    assert limits == sorted(limits)


def test_a_slot_is_given_back_after_a_failure() -> None:
    gate = ConcurrencyGate(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), gate.slot():
            raise ValueError("broken")
    with gate.slot():
        pass


def test_bytes_are_spread_over_time() -> None:
    now = 100.0
    limit = BandwidthLimit(1000, clock=lambda: now)
    assert [limit.delay(500) for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    now = 110.0
    assert [limit.delay(500), limit.delay(1)] == [0.0, 0.5]


def test_without_a_limit_nothing_waits() -> None:
    limit = BandwidthLimit(0)
    assert [limit.delay(10**9) for _ in range(3)] == [0.0] * 3


def test_a_wait_ends_when_the_work_is_given_up() -> None:
    limit, stopped = BandwidthLimit(1), threading.Event()
    stopped.set()
    limit.take(10**6, stopped)
    limit.take(10**6, stopped)


@pytest.mark.parametrize(
    ("bandwidth", "expected"), [(0, 8), (1, 1), (4_000_000, 1), (5 * 2**20, 2), (10**9, 8)]
)
def test_a_slow_limit_is_for_few_requests(bandwidth: int, expected: int) -> None:
    assert TransportSettings(max_bandwidth=bandwidth).concurrency == expected
