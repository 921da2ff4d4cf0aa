"""Run the stages before this point in a thread of their own."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress


class _End:
    """Closes the queue; `error` is what ended the source, if not its own end."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(chunks: Iterable[bytes], depth: int = 4) -> Iterator[bytes]:
    """Pass on `chunks`, made in another thread, at most `depth` of them ahead.

    What the source raises is raised here.  When the consumer stops, so does the thread.
    """
    ready: queue.Queue[bytes | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def produce() -> None:
        error: BaseException | None = None
        try:
            for chunk in chunks:
                ready.put(chunk)
                if stopped.is_set():
                    break
        except BaseException as caught:  # noqa: BLE001 - carried to the consumer, not lost
            error = caught
        ready.put(_End(error))

    thread = threading.Thread(target=produce, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(queue.Empty):  # a producer that waits for room must get some
                ready.get_nowait()
            thread.join(0.005)
