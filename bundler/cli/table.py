"""Tables for people: columns aligned, sizes short, nothing that could move the cursor."""

from collections.abc import Sequence

from bundler.cli.console import printable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def format_size(size: int) -> str:
    """Bytes in the unit that leaves few digits, such as "9.5 GiB"."""
    amount = float(size)
    for unit in _UNITS[:-1]:
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} {_UNITS[-1]}"


def format_table(rows: Sequence[Sequence[str]], *, right: frozenset[int]) -> list[str]:
    """Lines of a table whose columns of the numbers in `right` end, the others begin, alike."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
