import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "accounting",
        "batching",
        "chain",
        "exactness",
        "example_gradients",
        "ledger",
        "plan",
        "sensitivity",
    ],
)
def test_the_examples_in_docstrings_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"discreet.privacy.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
