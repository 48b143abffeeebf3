import doctest
import importlib
from pathlib import Path

import pytest

from discreet import bounds

FILES = sorted(
    path.stem for path in Path(bounds.__file__).parent.glob("*.py") if path.stem != "__init__"
)


@pytest.mark.parametrize("name", FILES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"discreet.bounds.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
