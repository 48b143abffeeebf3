"""The examples in the docstrings of the room run."""

import doctest
import importlib
from pathlib import Path

import pytest

from discreet import secagg

WITH_EXAMPLES = sorted(
    path.stem for path in Path(secagg.__file__).parent.glob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    module = "discreet.secagg" if name == "__init__" else f"discreet.secagg.{name}"
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0
