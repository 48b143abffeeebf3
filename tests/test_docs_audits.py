"""The table of the page on audits is that of the record in docs/results."""

import json
from pathlib import Path
from typing import Any

from discreet.attribution import Estimate, Judgement
from discreet.audit import AUDITS
from discreet.bench import (
    Audited,
    LeftOut,
    SamePeople,
    Trial,
    as_attribution_table,
    as_audits_table,
)
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


def test_what_is_said_of_attribution_is_in_the_record() -> None:
    record = json.loads((DOCS / "results" / "attribution.json").read_text())
    for line in as_attribution_table([found_of(one) for one in record["found"]]).splitlines():
        assert line in PAGE


def found_of(one: dict[str, Any]) -> Trial | LeftOut | SamePeople:
    """What the record holds of a part of `discreet bench attribution`."""
    kind, rest = one["kind"], {name: value for name, value in one.items() if name != "kind"}
    if kind == "Trial":
        methods = {
            name: Judgement(
                **{
                    part: Estimate(**value) if isinstance(value, dict) else value
                    for part, value in own.items()
                }
            )
            for name, own in rest["methods"].items()
        }
        return Trial(**{**rest, "methods": methods})
    if kind == "LeftOut":
        told = {name: Estimate(**own) for name, own in rest["told"].items()}
        return LeftOut(suspects=rest["suspects"], shares=Estimate(**rest["shares"]), told=told)
    return SamePeople(**{**rest, "auc": Estimate(**rest["auc"])})


def test_every_audit_is_on_the_page() -> None:
    for name in AUDITS:
        assert f"| `{name}` |" in PAGE
