"""Tests and files that documents name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
FILES = {
    str(path.relative_to(base))
    for base in (ROOT, ROOT / "src", ROOT / "src" / "discreet")
    for path in base.rglob("*.py")
    if ".venv" not in path.parts
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_is_named_is_there(page: Path) -> None:
    named = re.findall(r"`(?:tests/[\w/]+\.py::)?(test_\w+)`", page.read_text())
    assert [name for name in named if f"def {name}(" not in SOURCES] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_source_file_that_is_named_is_there(page: Path) -> None:
    if page.name == "CHANGELOG.md":
        return  # says what was
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text())
    made_up = {"tests/room/test_module.py", "model/NAME.py"}
    assert [name for name in named if name not in FILES | made_up] == []
