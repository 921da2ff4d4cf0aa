"""Run one command and write what it cost as JSON: `measure.py RESULT COMMAND [ARG...]`.

A process of its own, because the kernel adds up CPU time and the largest resident set per tree
of processes.  It imports little: Linux keeps the largest resident set across exec, so the size
of this process (`floor`) is the least that can be measured for another.
"""

import json
import os
import sys
import time


def measure(argv: list[str]) -> dict[str, float]:
    """Run `argv` to its end.

    Returns:
        `status` (exit code), `wall` and `cpu` (seconds), `peak` (bytes: the largest process of
        the tree) and `floor` (bytes: the least that `peak` can be).
    """
    floor = _own_peak()
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    return {
        "status": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
        "floor": floor,
    }


def _own_peak() -> int:
    """Bytes; not from getrusage(), where the parent's counts too."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123  pathlib is big
        peaks = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else 0


if __name__ == "__main__":
    result = json.dumps(measure(sys.argv[2:]))
    with open(sys.argv[1], "w", encoding="ascii") as file:  # noqa: PTH123  pathlib is big
        file.write(result)
