import json
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.artifacts import RunFolder
from discreet.errors import ArtifactCorrupt
from discreet.evidence import (
    Evidence,
    Interval,
    Intervals,
    Table,
    as_record,
    evidence_of,
    read_all_evidence,
    read_evidence,
    write_evidence,
)

FOUND = Evidence(
    audit="membership",
    title="Who was trained on",
    says=("Losses tell members from others no better than a coin.", "Of two owners."),
    tables=(Table(title="owners", columns=("owner", "area"), rows=(("owner-1", "0.51"),)),),
    plots=(
        Intervals(
            title="area under the curve",
            unit="area, 95 % interval",
            rows=(Interval(name="owner-1", value=0.51, low=0.4, high=0.6),),
            reference=0.5,
            reference_name="a coin",
        ),
    ),
    limits=("One attack.",),
    settings={"owners": 2},
    values={"owners": {"owner-1": {"auc": 0.51, "tpr": None}}},
    run="first",
    adapter_sha256="00ff",
    seconds=1.5,
    made_by={"commit": "abc"},
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "first")


def test_what_was_written_is_read(run: RunFolder) -> None:
    assert read_evidence(run, "membership") is None
    write_evidence(run, FOUND)
    assert read_evidence(run, "membership") == FOUND
    write_evidence(run, replace(FOUND, says=("Something else.",)))
    found = read_evidence(run, "membership")
    assert found is not None
    assert found.verdict == "Something else."


@given(
    st.lists(st.tuples(texts, texts), max_size=3),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)
def test_any_words_and_numbers_come_back(rows: list[tuple[str, str]], numbers: list[float]) -> None:
    table = Table(title="t", columns=("a", "b"), rows=tuple(rows))
    lines = tuple(Interval(name="n", value=n, low=n, high=n) for n in numbers)
    found = replace(FOUND, tables=(table,), plots=(Intervals(title="", unit="", rows=lines),))
    assert evidence_of(json.loads(json.dumps(as_record(found)))) == found


def test_all_are_read_by_name_and_results_of_benchmarks_are_left_alone(run: RunFolder) -> None:
    assert read_all_evidence(run) == ()
    for name in ("membership", "fairness"):
        write_evidence(run, replace(FOUND, audit=name))
    run.write_json("audits/adapt.json", {"answered_by": {}})
    run.write_json("audits/list.json", [1])
    assert [found.audit for found in read_all_evidence(run)] == ["fairness", "membership"]


@pytest.mark.parametrize("number", [nan, inf])
def test_a_number_that_is_none_is_not_written(run: RunFolder, number: float) -> None:
    row = Interval(name="a", value=number, low=0.0, high=1.0)
    for found in (
        replace(FOUND, values={"auc": number}),
        replace(FOUND, plots=(Intervals(title="", unit="", rows=(row,)),)),
    ):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_evidence(run, found)
    assert not (run.audits_dir / "membership.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"says": "text"},
        {"says": [1]},
        {"seconds": "1"},
        {"more": 1},
        {"plots": [{"title": "", "unit": "", "rows": [{"name": "a", "value": True}]}]},
        {"tables": [{"title": "t", "columns": ["a", "b"], "rows": [["one"]]}]},
        {"values": {"auc": nan}},
        {"plots": [{"title": "", "unit": "", "rows": [], "reference": inf}]},
    ],
)
def test_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match="audit the run again"):
        evidence_of(as_record(FOUND) | change)


def test_a_missing_field_is_refused() -> None:
    record = as_record(FOUND)
    del record["title"]
    with pytest.raises(ArtifactCorrupt, match="in format 1"):
        evidence_of(record)
