"""What all tests share."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> None:
    """Let the collections that tests ask for look at nothing older than their module.

    What commands leave open is looked for after each of them; libraries, service models and
    the tests themselves, which are there for good, would take most of that time.
    """
    gc.collect()
    gc.freeze()
