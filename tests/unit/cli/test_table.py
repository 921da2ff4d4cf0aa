"""Tables for people."""

import pytest

from bundler.cli.table import format_size, format_table


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10 * 2**20, "10.0 MiB"),
        (2**30 - 1, "1024.0 MiB"),
        (2**30, "1.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes(size: int, expected: str) -> None:
    assert format_size(size) == expected


def test_columns_are_aligned_and_nothing_moves_the_cursor() -> None:
    rows = [("NAME", "SIZE", ""), ("a", "10", "x"), ("\x1b[2J\nb\u202e", "5", "")]
    assert format_table(rows, right=frozenset((1,))) == [
        "NAME     SIZE",
        "a          10  x",
        "?[2J?b?     5",
    ]
