import doctest
import importlib
from pathlib import Path

import pytest

from discreet import privacy

WITH_EXAMPLES = sorted(
    path.stem for path in Path(privacy.__file__).parent.glob("*.py") if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"discreet.privacy.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_most_files_have_an_example() -> None:
    assert {"accounting", "clipping", "ledger", "plan", "randomness"} <= set(WITH_EXAMPLES)
