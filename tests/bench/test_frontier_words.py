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
    kind: str, loss: float, *, epsilon: float | None = None, seed: int = 0, unit: str = "example"
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
            epsilon=epsilon,
            delta=1e-5,
            unit=unit,  # type: ignore[arg-type]
            neighbouring_relation="add_or_remove_one",
        )
        if epsilon is not None
        else None,
        took=1.0,
    )


CELLS = [
    cell("base", 2.0),
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
    assert "Hiding one example at epsilon 8 keeps 80%" in said[0]
    assert any("50% of members" in one and "2% at most" in one for one in said)


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
    assert all(line["promise"] for line in lines if line["epsilon"])
    latex = as_latex(rows)
    assert latex.count(r"\\") == len(rows) + 1
    assert r"1 \% false alarms" in latex
    widths = {line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\")}
    assert len(widths) == 1


def test_cells_come_back_from_their_files() -> None:
    for one in CELLS:
        assert FrontierCell.from_dict(one.to_dict()) == one


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
