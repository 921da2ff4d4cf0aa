"""How many processors this process may use."""

import os


def processor_count() -> int:
    """Processors that the scheduler may give this process; at least 1."""
    return len(os.sched_getaffinity(0))
