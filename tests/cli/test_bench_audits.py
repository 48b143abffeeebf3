"""One command trains twice and tells what every audit finds."""

import json
from pathlib import Path

from tests.audit.runs import sharp_base
from tests.cli.conftest import Run


def test_every_audit_has_a_line_for_each_run(discreet: Run, tmp_path: Path) -> None:
    base = sharp_base(tmp_path / "sharp")
    out = tmp_path / "audits.json"
    words = ("bench", "audits", "--base", base, "--effort", "quick", "--train", 12, "--others", 60)
    more = ("--steps", 2, "--only", "mechanism", "--only", "contribution", "--out", out)
    status, text, _ = discreet(*words, *more)
    assert status == 0
    assert "| contribution |" in text
    record = json.loads(out.read_text())
    assert record["plan"]["base"] == "sharp"
    assert str(tmp_path) not in out.read_text()
    told = {(one["audit"], one["run"]): one for one in record["audits"]}
    assert len(told) == 4
    assert "evidence" in told["mechanism", "private"]
    assert told["mechanism", "learnt by heart"]["reason"].startswith("Expected a private run")
