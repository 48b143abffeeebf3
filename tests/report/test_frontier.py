"""The page of a frontier: places of marks, what is warned of, and nothing that a browser loads."""

import re
from typing import Any

import pytest

from discreet.errors import ArtifactCorrupt
from discreet.report import frontier_page
from discreet.report.frontier import _panel


def band(value: float, reach: float = 0.1, seeds: int = 3) -> dict[str, float]:
    return {"value": value, "low": value - reach, "high": value + reach, "seeds": seeds}


def row(kind: str, loss: float, epsilon: float | None = None, unit: str = "") -> dict[str, Any]:
    return {
        "kind": kind,
        "rule": "ffa" if kind in ("plain", "private") else "",
        "unit": unit,
        "epsilon": epsilon,
        "name": f"<{kind}>",
        "epsilon_told": "none" if epsilon is None else f"{epsilon:g} ({unit}, spent {epsilon:.2f})",
        "is_on_front": epsilon == 1,
        "values": {"loss": band(loss)},
    }


LOSS = {
    "name": "loss",
    "label": "loss",
    "group": "utility",
    "is_more_better": False,
    "unit": "nats",
}
MADE = {"commit": "abc", "hardware": {"cpu": "a CPU"}, "threads": 1}
ROWS = [
    row("base", 2.0),
    row("plain", 1.0),
    row("private", 1.2, 8.0, "example"),
    row("private", 1.8, 1.0, "example"),
    row("private", 1.9, 1.0, "user"),
]


def record(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "frontier",
        "settings": {"plan": {"base": "small", "num_owners": 4, "num_rounds": 2, "local_steps": 2}},
        "hardware": {"cpu": "a CPU", "cores": 2, "gpu": None},
        "commit": "abc",
        "minutes": 3.0,
        "cells": [{"made": MADE}, {"made": MADE}],
        "cells_wanted": 2,
        "metrics": [LOSS],
        "rows": ROWS,
        "says": ["Hiding <one> costs."],
        "legend": "Means.",
    } | changes


def test_marks_lie_by_epsilon_and_the_open_federation_comes_last() -> None:
    panel = _panel(ROWS, LOSS)
    assert panel is not None
    assert [tick.label for tick in panel.x_ticks] == ["1", "8", "none"]
    example, user = panel.lines
    assert [mark.x for mark in example.marks] == [tick.place for tick in panel.x_ticks]
    assert len(user.marks) == 2, "of its budget and in the clear"
    strong, weak, open_ = (mark.y for mark in example.marks)
    assert strong < weak < open_, "less loss lies lower, and lower is a larger y"
    assert example.marks[0].low > example.marks[0].y > example.marks[0].high
    slope = (weak - strong) / (1.2 - 1.8)
    assert panel.level == pytest.approx(strong + slope * (2.0 - 1.8), abs=0.02)


def test_a_metric_that_no_private_row_has_is_no_panel() -> None:
    assert _panel(ROWS[:2], LOSS) is None


def test_the_page_loads_nothing_and_escapes_words() -> None:
    page = frontier_page(record())
    assert "&lt;private&gt;" in page
    assert "<private>" not in page
    assert "Hiding &lt;one&gt; costs." in page
    assert not re.search(r"(?:src|href)=|<script|@import|url\(", page)
    assert "default-src 'none'" in page
    assert "1.20 ± 0.10" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_cells_of_several_codes_or_machines_are_said() -> None:
    assert "by the same code" not in frontier_page(record())
    assert "do not compare times" not in frontier_page(record())
    others = [{"made": MADE}, {"made": MADE | {"commit": "def"}}]
    assert "by the same code" in frontier_page(record(cells=others))
    others = [{"made": MADE}, {"made": MADE | {"threads": 2}}]
    assert "do not compare times" in frontier_page(record(cells=others))


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "performance"},
        {"rows": [row("private", float("nan"), 1.0, "example")]},
        {"rows": [row("private", 1.0, float("inf"), "example")]},
        {"rows": [{"kind": "base"}]},
        {"minutes": "many"},
        {"metrics": [{}]},
        {"cells": [{}]},
    ],
)
def test_damaged_records_are_refused_by_the_name_of_the_field(damage: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match=next(iter(damage))):
        frontier_page(record(**damage))


def test_what_is_not_whole_is_said() -> None:
    assert "1 of 2 cells" in frontier_page(record(cells=[{"made": MADE}]))
    tiny = record()["settings"]["plan"] | {"base": "tiny"}
    assert "random weights" in frontier_page(record(settings={"plan": tiny}))
    alone = [one | {"values": {"loss": band(one["values"]["loss"]["value"], 0, 1)}} for one in ROWS]
    page = frontier_page(record(rows=alone))
    assert "One seed" in page
    assert 'class="band' not in page
