"""What docs/tutorial.md tells people to type works, from top to bottom, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
COMMANDS = re.findall(r"^\$ (.+)$", TEXT, re.MULTILINE)
LEFT_BEHIND = (
    "runs/first/report.html",
    "runs/first/audits/membership.json",
    "both.html",
    "frontier/frontier.html",
    "frontier/frontier.tex",
    "gift/card.json",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_line_of_the_tutorial_works_one_after_the_other(tmp_path: Path) -> None:
    assert len(COMMANDS) == 11
    discreet = Path(sys.executable).with_name("discreet")
    for line in COMMANDS:
        _, *words = shlex.split(line)
        done = subprocess.run(
            [discreet, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if line.startswith("discreet privacy spent"):
            assert "epsilon = 8" in done.stdout or "delta" in done.stderr + done.stdout
    for name in LEFT_BEHIND:
        assert (tmp_path / name).exists(), name
