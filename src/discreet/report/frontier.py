"""What privacy costs as one HTML page: a small plot for each metric, epsilon across, and tables.

    html = frontier_page(json.loads(Path("frontier/frontier.json").read_text()))

Made of the record that `discreet bench frontier` writes. Needs nothing else: no script, no request.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from discreet.intervals import mean_in_words
from discreet.report.frontier_record import FrontierRecord, Metric, Row, checked_frontier
from discreet.report.plots import BOTTOM, LEFT, RIGHT, TOP, Tick, nice_ticks
from discreet.report.templates import in_shell, render

PLOTTED = ("utility", "leakage", "fairness")
NOT_PRIVATE = "none"
"""The place of the federation in the clear, after all budgets."""
_LIMITS = (
    "Leakage is what these attacks found; others may find more, and nothing found is no proof.",
    "Bands are over seeds of training, with the same held-out people and questions: another set of "
    "people would move all rows together.",
    "The people are rendered, and the questions are the packaged ones.",
    "Noise came from seeds, which makes cells repeatable: whoever knows a seed can take it off.",
    "Least loss among noisy numbers is a little too low; the front is of means over few seeds.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A mean over seeds, in its place."""

    x: float
    y: float
    low: float
    high: float
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Budgets of one rule and unit, and at the end the same without privacy."""

    name: str
    path: str
    band: str
    """Empty with one seed."""
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One metric over epsilon."""

    title: str
    note: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    level: float | None
    """Height of the base."""


def frontier_page(record: Mapping[str, Any]) -> str:
    """Return the page of a frontier as HTML.

    Raises:
        ArtifactCorrupt: if it is no record of `discreet bench frontier`.
    """
    return in_shell("What privacy costs", frontier_body(record))


def frontier_body(record: Mapping[str, Any], *, heading: str = "h1") -> Markup:
    """Return all that is said of a frontier, to stand on a page.

    Raises:
        ArtifactCorrupt: if it is no record of `discreet bench frontier`.
    """
    return _body(checked_frontier(record), heading)


def _body(record: FrontierRecord, heading: str) -> Markup:
    rows, metrics = record["rows"], record["metrics"]
    measured = [one for one in metrics if any(one["name"] in row["values"] for row in rows)]
    groups = list(dict.fromkeys(one["group"] for one in measured))
    seeds = max((band["seeds"] for row in rows for band in row["values"].values()), default=0)
    hardware = record["hardware"]
    return render(
        "frontier.html",
        heading=heading,
        plan=record["settings"]["plan"],
        seeds=f"{seeds} seeds" if seeds > 1 else "one seed",
        minutes=f"{record['minutes']:g}",
        hardware=hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}",
        commit=record["commit"] or "",
        warnings=list(_warnings(record, seeds)),
        said=record["says"],
        groups=[
            (group, panels)
            for group in groups
            if group in PLOTTED and (panels := list(_panels(rows, measured, group)))
        ],
        legend=record["legend"],
        tables=[(group, [one for one in measured if one["group"] == group]) for group in groups],
        rows=[_told_row(row, measured) for row in rows],
        limits=_LIMITS,
    )


def _warnings(record: FrontierRecord, seeds: int) -> Iterator[str]:
    if record["settings"]["plan"]["base"] == "tiny":
        yield "The tiny base has random weights: these numbers show that everything runs, only."
    if len(record["cells"]) < record["cells_wanted"]:
        yield (
            f"{len(record['cells'])} of {record['cells_wanted']} cells are measured. Run the same "
            "command with the same --keep to go on."
        )
    made = [one["made"] for one in record["cells"]]
    if len({one.get("commit") for one in made}) > 1:
        yield "Not all cells were measured by the same code; each says its commit in frontier.json."
    if len({str((one.get("hardware"), one.get("threads"))) for one in made}) > 1:
        yield "Not all cells were measured on the same hardware and threads: do not compare times."
    if seeds == 1:
        yield "One seed: how far another would differ is not known."


def _panels(rows: Sequence[Row], metrics: Sequence[Metric], group: str) -> Iterator[Panel]:
    for metric in metrics:
        if metric["group"] == group and (panel := _panel(rows, metric)):
            yield panel


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axes:
    """Where numbers lie: budgets evenly apart with the open federation last, values upright."""

    budgets: Sequence[float]
    ticks: Sequence[float]

    @property
    def places(self) -> list[float | None]:
        """Return the budgets, and None for what is in the clear."""
        return [*self.budgets, None]

    def across(self, epsilon: float | None) -> float:
        """Return where a budget lies."""
        place = self.places.index(epsilon)
        return round(LEFT + (place + 0.5) / len(self.places) * (RIGHT - LEFT), 2)

    def up(self, value: float) -> float:
        """Return where a value lies."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return round(BOTTOM - share * (BOTTOM - TOP), 2)

    def mark(self, row: Row, name: str) -> Mark:
        """Return the mark of a metric of a row."""
        band = row["values"][name]
        return Mark(
            x=self.across(row["epsilon"]),
            y=self.up(band["value"]),
            low=self.up(band["low"]),
            high=self.up(band["high"]),
            told=f"{row['name']}, epsilon {row['epsilon_told']}: {mean_in_words(**band)}",
        )


def _panel(rows: Sequence[Row], metric: Metric) -> Panel | None:
    name = metric["name"]
    own = [row for row in rows if name in row["values"]]
    private = [row for row in own if row["epsilon"] is not None]
    if not private:
        return None
    plain = [row for row in own if row["kind"] == "plain"]
    base = [row for row in own if row["kind"] == "base"]
    edges = [
        row["values"][name][edge] for row in (*private, *plain, *base) for edge in ("low", "high")
    ]
    axes = _Axes(
        budgets=sorted({one for row in private if (one := row["epsilon"]) is not None}),
        ticks=nice_ticks(min(edges), max(edges)),
    )
    note = f"In {metric['unit']}. " if metric["unit"] else ""
    note += "More is better. " if metric["is_more_better"] else "Less is better. "
    return Panel(
        title=metric["label"],
        note=f"{note}Across: epsilon; {NOT_PRIVATE}: in the clear.",
        x_ticks=tuple(
            Tick(place=axes.across(one), label=NOT_PRIVATE if one is None else f"{one:g}")
            for one in axes.places
        ),
        y_ticks=tuple(Tick(place=axes.up(value), label=f"{value:g}") for value in axes.ticks),
        lines=tuple(_lines(private, plain, axes, name)),
        level=axes.up(base[0]["values"][name]["value"]) if base else None,
    )


def _lines(private: Sequence[Row], plain: Sequence[Row], axes: _Axes, name: str) -> Iterator[Line]:
    """Yield a line for each rule and unit: by budget, and at the end the same in the clear."""
    for rule, unit in dict.fromkeys((row["rule"], row["unit"]) for row in private):
        along = [row for row in private if (row["rule"], row["unit"]) == (rule, unit)]
        along = sorted(along, key=lambda row: row["epsilon"] or 0.0)
        along += [row for row in plain if row["rule"] == rule]
        yield _line(f"{rule}, hides one {unit}", [axes.mark(row, name) for row in along])


def _line(name: str, marks: Sequence[Mark]) -> Line:
    has_band = any(one.low != one.high for one in marks)
    upper = [f"{one.x:g} {one.high:g}" for one in marks]
    lower = [f"{one.x:g} {one.low:g}" for one in reversed(marks)]
    return Line(
        name=name,
        path="M" + " L".join(f"{one.x:g} {one.y:g}" for one in marks) + " h0" * (len(marks) == 1),
        band="M" + " L".join((*upper, *lower)) + " Z" if has_band else "",
        marks=tuple(marks),
    )


def _told_row(row: Row, metrics: Sequence[Metric]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "is_on_front": row["is_on_front"],
        "epsilon_told": row["epsilon_told"] + (" *" if row["is_on_front"] else ""),
        "cells": {
            one["name"]: mean_in_words(**row["values"][one["name"]])
            if one["name"] in row["values"]
            else "–"
            for one in metrics
        },
    }
