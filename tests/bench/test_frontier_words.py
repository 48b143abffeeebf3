"""Rows, bands and the front of a frontier, by numbers that are known."""

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from discreet.bench import as_csv, as_frontier_table, as_latex, grid, in_sentences, rows_of
from discreet.bench.frontier_cells import CellSetting, FrontierCell
from discreet.bench.frontier_words import band
from discreet.types import PrivacyStatement


def cell(
    kind: str,
    loss: float,
    *,
    epsilon: float | None = None,
    seed: int | None = 0,
    unit: str = "example",
    spent: float | None = None,
) -> FrontierCell:
    private = epsilon is not None
    return FrontierCell(
        setting=CellSetting(
            kind=kind,  # type: ignore[arg-type]
            rule="ffa" if kind in ("plain", "private") else "",
            unit=unit if private else "",
            epsilon=epsilon,
        ),
        seed=seed,
        values={"loss": loss, "members": 0.5 if kind == "plain" else 0.02, "seconds": 100.0},
        privacy=PrivacyStatement(
            epsilon=0.9 * epsilon if spent is None else spent,
            delta=1e-5,
            unit=unit,  # type: ignore[arg-type]
            neighbouring_relation="add_or_remove_one",
        )
        if epsilon is not None
        else None,
        took=1.0,
    )


CELLS = [
    cell("base", 2.0, seed=None),
    cell("plain", 1.0),
    cell("private", 1.2, epsilon=8),
    cell("private", 1.5, epsilon=4),
    cell("private", 1.6, epsilon=2),
    cell("private", 1.55, epsilon=1),
    cell("private", 1.9, epsilon=1, unit="user"),
]


def test_a_row_is_on_the_front_unless_one_spends_less_for_a_lower_loss() -> None:
    rows = rows_of(CELLS)
    assert [(r.setting.unit, r.setting.epsilon) for r in rows if r.is_on_front] == [
        ("example", 8),
        ("example", 4),
        ("example", 1),
        ("user", 1),
    ], "epsilon 2 costs more than epsilon 1; other units are other promises"
    assert [row.setting.kind for row in rows[:2]] == ["base", "plain"]


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=6))
def test_bands_are_students(values: list[float]) -> None:
    found = band(values)
    if np.std(values) > 1e-9:
        low, high = stats.t.interval(
            0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values)
        )
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    assert found.seeds == len(values)


def test_sentences_say_what_is_kept() -> None:
    said = in_sentences(rows_of(CELLS))
    assert "Hiding one example (ffa, epsilon 7.20 at delta = 1e-05 (unit: example" in said[0]
    assert "keeps 80% (one seed)" in said[0]
    assert len(said) == 6, "one for each budget and unit, on the front or not"
    assert any("50% of members" in one and "2% at most" in one for one in said)


def test_what_is_kept_is_paired_by_seed() -> None:
    """Of each seed alone it is 80 and 60 %; the mean losses would give 73 %."""
    rows = rows_of(
        [
            cell("base", 2.0, seed=None),
            *(cell("plain", loss, seed=seed) for seed, loss in enumerate((0.0, 1.0, 0.5))),
            *(cell("private", loss, epsilon=8, seed=s) for s, loss in ((0, 0.4), (1, 1.4))),
        ]
    )
    kept = rows[-1].kept
    assert kept is not None
    assert (kept.value, kept.seeds) == (pytest.approx(0.7), 2)
    assert kept.high - kept.value == pytest.approx(stats.t.ppf(0.975, 1) * 0.1)
    assert "over 2 seeds" in in_sentences(rows)[0]
    nothing = rows_of([cell("base", 1.0, seed=None), cell("plain", 1.0), CELLS[2]])
    assert nothing[-1].kept is None


def test_the_front_is_of_what_was_spent_and_not_of_what_was_asked() -> None:
    rows = rows_of(
        [
            cell("private", 1.2, epsilon=8, spent=3.0),
            cell("private", 1.5, epsilon=4, spent=3.9),
        ]
    )
    assert [row.is_on_front for row in rows] == [True, False]
    assert "8 (example, spent 3.00)" in as_frontier_table(rows)


def test_rows_with_fewer_seeds_say_so_and_have_no_star() -> None:
    """A lucky first seed may not take the star from rows that have all seeds."""
    rows = rows_of(
        [
            *(cell("private", loss, epsilon=8, seed=s) for s, loss in ((0, 1.2), (1, 1.4))),
            cell("private", 1.0, epsilon=4),
        ]
    )
    assert [row.is_on_front for row in rows] == [True, False]
    table = as_frontier_table(rows)
    assert "1 of 2 seeds" in table
    assert "Means over 1 to 2 seeds" in table


def test_an_empty_table_says_that_it_is() -> None:
    assert as_frontier_table([]) == "No cell is measured."
    assert in_sentences([]) == []


def test_tables_say_the_same_in_three_forms() -> None:
    twice = [*CELLS, cell("plain", 1.4, seed=1)]
    rows = rows_of(twice)
    table = as_frontier_table(rows)
    assert "federated, not private (ffa) | none | 1.20 ± 2.54" in table
    assert "add_or_remove_one" in table.replace("add or remove one", "add_or_remove_one")
    assert "1e-05" in table
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    own = [line for line in lines if line["kind"] == "plain" and line["metric"] == "loss"]
    assert float(own[0]["mean"]) == pytest.approx(1.2)
    assert float(own[0]["high"]) - 1.2 == pytest.approx(2.54, abs=0.01)
    assert own[0]["seeds"] == "2"
    alone = [line for line in lines if line["kind"] == "private"]
    assert {(line["low"], line["high"]) for line in alone} == {("", "")}, "one seed has no band"
    assert all(line["spent"] for line in lines if line["epsilon"])
    latex = as_latex(rows)
    assert latex.count(r"\\") == len(rows) + 1
    assert r"1 \% false alarms" in latex
    widths = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
    assert len(widths) == 1


def test_cells_come_back_from_their_files() -> None:
    for one in CELLS:
        assert FrontierCell.from_dict(one.to_dict()) == one


@pytest.mark.parametrize("wrong", [math.nan, math.inf, "much", None])
def test_cells_with_values_that_are_no_numbers_are_no_cells(wrong: object) -> None:
    with pytest.raises(ValueError, match="values"):
        FrontierCell.from_dict(CELLS[0].to_dict() | {"values": {"loss": wrong}})


def test_budgets_that_differ_in_the_last_digit_have_names_of_their_own() -> None:
    near = (8.0, 8.0000001, math.nextafter(8, 9))
    specs = grid(epsilons=near, rules=("ffa",), units=("example",), seeds=(0,))
    names = [one.name for one in specs]
    assert len(set(names)) == len(names)
    assert "private-ffa-example-8-seed0" in names


def test_the_grid_has_baselines_first_and_every_setting_with_every_seed() -> None:
    rules, units = ("ffa", "fedit"), ("example", "user")
    specs = grid(epsilons=(8.0, 1.0), rules=rules, units=units, seeds=(0, 1))
    names = [one.name for one in specs]
    assert len(names) == len(set(names)) == 2 + 2 * (2 + 2 + 2 * 2 * 2)
    assert names[:2] == ["base", "prompted"]
    seeds = [one.seed for one in specs[2:]]
    assert seeds == sorted(seeds), "all rows with one seed before any with two"
    only = grid(epsilons=(), rules=("flora",), units=(), seeds=(0,))
    assert [one.setting.kind for one in only] == ["base", "prompted", "central", "alone"], (
        "the plain trainer averages no stacked factors"
    )


@pytest.mark.parametrize(
    "wrong",
    [{"epsilons": (0.0,)}, {"epsilons": (math.inf,)}, {"seeds": ()}, {"rules": ("ffa", "ffa")}],
)
def test_what_makes_no_table_is_refused(wrong: dict[str, object]) -> None:
    whole: dict[str, object] = {
        "epsilons": (1.0,),
        "rules": ("ffa",),
        "units": ("example",),
        "seeds": (0,),
    }
    with pytest.raises(ValueError, match="Expected"):
        grid(**whole | wrong)  # type: ignore[arg-type]
