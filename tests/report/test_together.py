"""Runs side by side: what differs, curves of each, audits of any, and each whole below."""

import json
import re
from dataclasses import replace

import pytest

from discreet.artifacts import RunFolder
from discreet.evidence import Evidence
from discreet.registry import SHIPPED
from discreet.report import RunRecord, page_of_runs, read_run
from discreet.report.together import _charts, names_of
from tests.report.test_frontier import record as frontier
from tests.report.test_run_page import Page


@pytest.fixture(scope="module")
def two(finished: RunFolder) -> list[RunRecord]:
    return [read_run(finished), read_run(RunFolder(SHIPPED["federated"]))]


def test_two_runs_stand_side_by_side_and_whole(two: list[RunRecord]) -> None:
    page = Page(page_of_runs(two))
    assert page.words.count(f"Run {two[0].run}, whole") == 1
    assert "What their plans differ in" in page.words
    for record in two:
        assert record.card is None or record.card.adapter_sha256[:12] in page.words
    assert "rounds done 2 of 2 2 of 2" in page.words, "no plain run counts its rounds in lines"
    assert page.tags.count("details") >= 2
    loads = {"src", "href", "srcset", "action"}
    assert not [one for one in page.attributes if one[1] in loads]


def test_only_fields_that_differ_are_told_but_for_chance(two: list[RunRecord]) -> None:
    same = page_of_runs([two[0], two[0]])
    beside = same[same.index("What their plans differ in") : same.index("Round by round")]
    assert beside.count('<th scope="row">') <= 2
    assert ">seed<" in beside
    assert "num_rounds" not in beside


def test_curves_of_runs_of_other_lengths_end_where_they_end(two: list[RunRecord]) -> None:
    short = replace(two[0], run="short", rounds=two[0].rounds[:1])
    charts = {one.title: one.plot for one in _charts([two[0], short], ["long", "short"])}
    spent = charts["Epsilon so far"]
    assert spent is not None
    assert [len(curve.marks) for curve in spent.curves] == [len(two[0].rounds), 1]


def test_runs_of_one_name_are_numbered(two: list[RunRecord]) -> None:
    assert names_of([two[0], two[0]]) == [f"{two[0].run} (1)", f"{two[0].run} (2)"]


def test_what_one_run_was_not_asked_is_said(two: list[RunRecord]) -> None:
    told = Evidence(
        audit="membership", title="Who was trained on", says=("Nobody <is> told.",), values={}
    )
    html = page_of_runs([replace(two[0], audits=(told,)), replace(two[1], audits=())])
    beside = html[: html.index("whole</summary>")]
    assert "Nobody &lt;is&gt; told." in beside
    assert "not asked" in beside
    assert "No audit was asked" in page_of_runs([replace(one, audits=()) for one in two])


def test_frontiers_stand_between(two: list[RunRecord]) -> None:
    html = page_of_runs(two[:1], [json.loads(json.dumps(frontier()))])
    assert html.index("What their plans") < html.index("What privacy costs") < html.index("whole<")
    assert "What privacy costs" in page_of_runs([], [frontier()])


@pytest.mark.parametrize("count", [0, 7])
def test_nothing_and_too_many_are_refused(two: list[RunRecord], count: int) -> None:
    with pytest.raises(ValueError, match="Expected a run"):
        page_of_runs(two[:1] * count)


def test_each_runs_audits_have_places_of_their_own(two: list[RunRecord]) -> None:
    found = Evidence(audit="membership", title="Who", says=("Nobody.",))
    text = page_of_runs([replace(one, audits=(found,)) for one in two])
    places = re.findall(r'id="([^"]+)"', text)
    assert len(set(places)) == len(places)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(places)


def test_a_page_of_one_frontier_has_a_heading_of_its_own(two: list[RunRecord]) -> None:
    assert page_of_runs([], [frontier()]).count("<h1>") == 1
    assert "<h1>What privacy costs" not in page_of_runs(two, [frontier()])
