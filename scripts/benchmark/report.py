"""Turn measured runs into tables."""

import statistics
from collections.abc import Sequence

from benchmark.process import Measurement
from benchmark.runner import Run

_BASELINE = "gzip-6"
"""The competitor whose output size the others' are compared with."""


def summary(runs: Sequence[Run]) -> str:
    """Medians of each competitor, in order of first appearance by name in `runs`."""
    baseline = _output_size(runs, _BASELINE)
    has_server = any(run.server_cpu for run in runs)
    header = (
        *("", "wall s", "min..max", "CPU s", "peak MB", "output bytes"),
        *(("server's CPU s",) if has_server else ()),
        *((f"vs {_BASELINE}",) if baseline else ()),
    )
    rows = []
    for name in _names(runs):
        costs = [run.cost for run in runs if run.name == name]
        walls = [cost.wall for cost in costs]
        size = _output_size(runs, name)
        rows.append(
            (
                name,
                f"{statistics.median(walls):.2f}",
                f"{min(walls):.2f}..{max(walls):.2f}",
                f"{statistics.median(cost.cpu for cost in costs):.2f}",
                _peak(costs),
                f"{size:,}" if size else "-",
                *((f"{_server_cpu(runs, name):.2f}",) if has_server else ()),
                *((f"{(size / baseline - 1) * 100:+.2f} %",) if baseline else ()),
            )
        )
    return _table(header, rows)


def speedups(runs: Sequence[Run], columns: Sequence[str]) -> str:
    """How many times faster each competitor is than each of `columns`; empty without one.

    Each number is the median of the ratios within one round, with their range.
    """
    names = _names(runs)
    columns = [name for name in columns if name in names]
    rows = [
        (name, *("1" if name == other else _ratio(runs, other, name) for other in columns))
        for name in names
    ]
    return _table(("times as fast as", *columns), rows) if columns else ""


def publish_ratios(runs: Sequence[Run], levels: Sequence[str]) -> str:
    """Time of publish over time of bundling alone, for each level measured."""
    names = _names(runs)
    pairs = [(level, f"publish-{level}", f"ours-{level}") for level in levels]
    rows = [
        (level, _ratio(runs, publish, bundle))
        for level, publish, bundle in pairs
        if publish in names and bundle in names
    ]
    return _table(("level", "publish / bundle"), rows) if rows else ""


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.name for run in runs))


def _output_size(runs: Sequence[Run], name: str) -> int:
    sizes = [run.output_size for run in runs if run.name == name]
    return int(statistics.median(sizes)) if sizes else 0


def _server_cpu(runs: Sequence[Run], name: str) -> float:
    return statistics.median(run.server_cpu for run in runs if run.name == name)


def _peak(costs: Sequence[Measurement]) -> str:
    """Median of the peaks in MB; "<" where it drowns in the measuring process's own size."""
    peak = statistics.median(cost.peak for cost in costs)
    floor = statistics.median(cost.floor for cost in costs)
    return f"<{peak / 1e6:.0f}" if peak < floor * 1.1 else f"{peak / 1e6:.0f}"


def _ratio(runs: Sequence[Run], numerator: str, denominator: str) -> str:
    """Wall time of one competitor over another's in the same round: median and range."""
    walls = {(run.name, run.round): run.cost.wall for run in runs}
    rounds = sorted({run.round for run in runs})
    ratios = [walls[numerator, number] / walls[denominator, number] for number in rounds]
    middle = f"{statistics.median(ratios):.2f}"
    return middle if len(ratios) == 1 else f"{middle} ({min(ratios):.2f}..{max(ratios):.2f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
