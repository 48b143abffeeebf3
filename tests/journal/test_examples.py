"""Every example in the docstrings of `journal` runs and prints what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import discreet.journal

MODULES = sorted(path.stem for path in Path(discreet.journal.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    module = importlib.import_module(f"discreet.journal.{name}")
    assert doctest.testmod(module).failed == 0
