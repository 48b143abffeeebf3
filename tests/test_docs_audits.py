"""The table of the page on audits is that of the record in docs/results."""

import json
from pathlib import Path

from discreet.audit import AUDITS
from discreet.bench import Audited, as_audits_table
from discreet.evidence import evidence_of

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "audits.md").read_text()


def test_what_each_audit_says_of_both_runs_is_in_the_record() -> None:
    record = json.loads((DOCS / "results" / "audits.json").read_text())
    found = [
        Audited(
            audit=one["audit"],
            run=one["run"],
            found=evidence_of(one["evidence"]) if "evidence" in one else None,
            reason=one["reason"],
        )
        for one in record["audits"]
    ]
    for line in as_audits_table(found).splitlines():
        assert line in PAGE


def test_every_audit_is_on_the_page() -> None:
    for name in AUDITS:
        assert f"| `{name}` |" in PAGE
