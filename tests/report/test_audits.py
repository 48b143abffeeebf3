"""The part of a run's page that says what audits found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.artifacts import RunFolder
from discreet.audit import AUDITS
from discreet.evidence import Evidence, Interval, Intervals, Table, write_evidence
from discreet.report import page_of, read_run
from discreet.report.audits import LEFT, ORDER, RIGHT, draw_intervals, section_of

ROWS = (
    Interval(name="loss", value=0.62, low=0.55, high=0.7),
    Interval(name="loss, calibrated by the base", value=0.5, low=0.41, high=0.59),
)
PLOT = Intervals(
    title="area under the curve",
    unit="area, 95 % interval",
    rows=ROWS,
    reference=0.5,
    reference_name="a coin",
)
FOUND = Evidence(
    audit="membership",
    title="Who was trained on",
    says=("Losses tell members from others.", "Of two owners."),
    tables=(Table(title="by owner", columns=("owner", "area"), rows=(("owner-1", "0.51"),)),),
    plots=(PLOT,),
    limits=("One attack.",),
    settings={"effort": "quick"},
    run="first",
    adapter_sha256="00ff",
    seconds=1.5,
)


def test_nothing_is_shown_of_a_run_that_was_not_audited() -> None:
    assert section_of([], "00ff") == ""


def test_verdict_plot_table_and_limits_are_shown() -> None:
    page = section_of([FOUND], "00ff")
    assert "<strong>Losses tell members from others.</strong>" in page
    assert "Of two owners." in page
    for text in ("a coin", "by owner", "owner-1", "One attack.", "effort quick, 2 s", "area, 95 %"):
        assert text in page
    assert page.count("<circle") == len(ROWS)
    assert "another adapter" not in page


def test_audits_come_in_the_order_in_which_they_are_asked_with_a_table_of_verdicts() -> None:
    assert list(AUDITS) == list(ORDER)
    some = [replace(FOUND, audit=name, says=(f"Says {name}.",)) for name in ("zeta", "fairness")]
    page = section_of([*some, FOUND], "00ff")
    places = [
        page.index(f"<strong>{said}") for said in (FOUND.says[0], "Says fairness", "Says zeta")
    ]
    assert places == sorted(places)
    assert page.count('<td class="said">') == 3
    assert page.index('<td class="said">Says zeta.</td>') < places[0]


def test_evidence_of_another_adapter_says_so() -> None:
    assert "Of another adapter than the one" in section_of([FOUND], "11aa")
    assert "Of another adapter than the one" in section_of([FOUND], None)


def test_words_of_the_folder_are_escaped() -> None:
    bad = "<script>alert(1)</script>"
    row = replace(ROWS[0], name=bad)
    table = Table(title=bad, columns=(bad,), rows=((bad,),))
    found = replace(
        FOUND,
        audit=bad,
        title=bad,
        says=(bad, bad),
        limits=(bad,),
        tables=(table,),
        plots=(replace(PLOT, title=bad, unit=bad, rows=(row,), reference_name=bad),),
        settings={"effort": bad},
    )
    assert "<script" not in section_of([found], "00ff")


@given(
    st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 3).map(sorted), min_size=1, max_size=5),
    st.none() | st.floats(-1e6, 1e6),
)
def test_dots_lie_on_the_plot_and_in_the_order_of_their_numbers(
    numbers: list[list[float]], reference: float | None
) -> None:
    rows = tuple(Interval(name="a", value=v, low=low, high=high) for low, v, high in numbers)
    drawn = draw_intervals(replace(PLOT, rows=rows, reference=reference))
    for row in drawn.rows:
        assert LEFT - 0.5 <= row.low <= row.value <= row.high <= RIGHT + 0.5
    assert [row.y for row in drawn.rows] == sorted({row.y for row in drawn.rows})
    assert drawn.rows[-1].y < drawn.bottom < drawn.height
    assert (drawn.reference is None) == (reference is None)


def test_a_long_name_has_two_lines_beside_the_plot_and_is_whole_in_its_title() -> None:
    two = "gender presentation, answers, what training gave"
    rows = tuple(replace(ROWS[0], name=name) for name in (two, "n" * 100, "", "short"))
    drawn = draw_intervals(replace(PLOT, rows=rows))
    assert " ".join(drawn.rows[0].lines) == two
    assert [len(row.lines) for row in drawn.rows] == [2, 2, 0, 1]
    assert drawn.rows[1].lines[-1].endswith("…")
    assert "n" * 100 in drawn.rows[1].told
    assert drawn.height > draw_intervals(PLOT).height


def test_the_page_of_an_audited_run_has_them_and_says_that_it_is_local(
    finished: RunFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = page_of(read_run(finished))
    assert "What audits found" not in before
    write_evidence(finished, FOUND)
    try:
        page = page_of(read_run(finished))
    finally:
        (finished.audits_dir / "membership.json").unlink()
        finished.audits_dir.rmdir()
    assert "What audits found" in page
    assert "what audits found. To hand a page on" in page
