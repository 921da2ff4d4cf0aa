"""What storage costs."""

import pytest

from bundler.model.listed import STANDARD_PRICE, monthly_cost

GIB = 2**30
STANDARD = frozenset(("STANDARD",))
OTHERS = frozenset(("STANDARD", "GLACIER"))


@pytest.mark.parametrize(
    ("size", "classes", "price", "expected"),
    [
        (0, frozenset[str](), None, 0.0),
        (GIB, STANDARD, None, STANDARD_PRICE),
        (10 * GIB, STANDARD, None, 10 * STANDARD_PRICE),
        (GIB // 2, STANDARD, 0.5, 0.25),
        (GIB, OTHERS, None, None),
        (GIB, OTHERS, 0.004, 0.004),
        (GIB, STANDARD, 0.0, 0.0),
    ],
)
def test_cost(
    size: int, classes: frozenset[str], price: float | None, expected: float | None
) -> None:
    assert monthly_cost(size, classes, price) == expected
