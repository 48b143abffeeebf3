"""Every example in a docstring gives what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import discreet

PACKAGE = Path(discreet.__file__).parent
MODULES = [
    ".".join(["discreet", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(
        ".__init__"
    )
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_most_rooms_have_examples() -> None:
    rooms = {name.split(".")[1] for name in MODULES if name.count(".") > 1}
    assert len(rooms) >= 20
