"""What docs/data.md shows runs, and prints what the page says."""

import re
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from discreet.cli import main
from discreet.sources import READERS

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```(bash|python|text)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with suppress(SystemExit):  # what main() ends a failing command with
        main()
        return
    raise AssertionError(command)


def test_the_page_runs_from_top_to_bottom_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    said = ""
    for kind, block in BLOCKS:
        if kind == "text":
            for line in block.splitlines():
                assert " ".join(line.split()) in said, line
            continue
        if kind == "python":
            exec(compile(block, PAGE.name, "exec"), {})
            continue
        capsys.readouterr()
        for command in block.splitlines():
            run(command, monkeypatch)
        captured = capsys.readouterr()
        said = " ".join((captured.out + captured.err).split())


def test_the_page_lists_every_layout_with_its_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)
    told = {name: page for name, page, *_ in rows if name in READERS}
    assert set(told) == set(READERS)
    for name, reader in READERS.items():
        assert reader.source in told[name] or name == "portraits"


def test_tests_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    written = {
        found
        for path in PAGE.parents[1].glob("tests/**/*.py")
        for found in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named
    assert named <= written, named - written
