"""What docs/extend.md shows runs in its order: Python in one process, commands as typed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from discreet.aggregation import RULES
from discreet.artifacts import RunFolder
from discreet.evidence import read_evidence

TEXT = (Path(__file__).parents[1] / "docs" / "extend.md").read_text()
BLOCKS = re.findall(r"^```(python|toml|console)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def _rules() -> Any:
    """Take the page's rule out again."""
    yield
    RULES.pop("mine", None)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_rules")
def test_every_block_of_the_page_runs_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "extend.md", "exec"), names)
        elif kind == "toml":
            (tmp_path / "desk.toml").write_text(text)
        else:
            _type(text, tmp_path)
    assert "Members became likelier by" in capsys.readouterr().out
    assert set(read_evidence(RunFolder(tmp_path / "runs" / "first"), "gain").values) == {
        "members",
        "others",
    }
    assert "What became likelier" in (tmp_path / "runs/first/report.html").read_text()
    assert names["plan"].aggregation == "mine"
    assert (tmp_path / "kit" / "discreet_twins.tsv").exists()


def _type(text: str, folder: Path) -> None:
    discreet = Path(sys.executable).with_name("discreet")
    for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
        _, *words = shlex.split(line)
        done = subprocess.run(
            [discreet, *words],
            cwd=folder,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
