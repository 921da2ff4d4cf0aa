"""Waiting for what AWS does in its own time: pauses that grow, an end, and what is seen told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bundler.errors import BundlerError

Seen = TypeVar("Seen")

WAIT_TIMEOUT = 600.0
"""Seconds that are waited when the user does not say; EC2's own waiters give up then as well."""

FIRST_PAUSE = 2.0
"""Seconds between the first two looks.  Our choice; EC2's own waiters take 15."""

MAX_PAUSE = 15.0
"""Most seconds between two looks."""

GROWTH = 1.5
"""How much longer each pause is than the one before."""


def _tell_nobody(words: str) -> None:
    del words


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited, and how.

    `clock` gives seconds that never go back (time.monotonic); `tell` gets what is seen,
    whenever it is something else than before.
    """

    sleep: Callable[[float], object]
    clock: Callable[[], float]
    timeout: float = WAIT_TIMEOUT
    """Seconds."""
    first_pause: float = FIRST_PAUSE
    """Seconds."""
    tell: Callable[[str], object] = _tell_nobody


def wait_until(
    look: Callable[[], tuple[Seen | None, str]],
    patience: Patience,
    too_late: Callable[[str], BundlerError],
) -> Seen:
    """Look until there is something to see, and give that back.

    `look` gives it, or None and the state in words; it raises when waiting has no sense any
    more.  `too_late` makes the error for the last state when the time is over.

    Raises:
        BundlerError: from `look`, or made by `too_late`.
    """
    deadline = patience.clock() + patience.timeout
    pause, told = patience.first_pause, ""
    while True:
        seen, state = look()
        if seen is not None:
            return seen
        if state != told:
            patience.tell(state)
            told = state
        remaining = deadline - patience.clock()
        if remaining <= 0:
            raise too_late(state)
        patience.sleep(min(pause, remaining))
        pause = min(MAX_PAUSE, pause * GROWTH)
