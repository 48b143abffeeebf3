"""What audits of a run found, as a part of its page: verdicts, intervals to look at, tables.

Decides what is shown and where the dots lie; `audits.html` beside this file decides how it looks.
Jinja2 escapes every word that comes from the folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from markupsafe import Markup

from discreet.evidence import Evidence, Intervals
from discreet.report.plots import Tick, nice_ticks
from discreet.report.templates import render

FEW_ROWS = 8
"""Rows of a table that is shown at once; a longer one is folded."""
WIDTH, LEFT, RIGHT, ROW = 780, 290, 740, 24
"""Of a plot of intervals, in units that are pixels; the last is the height of a row of one line."""
LINE = 15
"""Height of a further line of a name."""
LONGEST_NAME = 38
"""Letters that fit beside the plot in a line; names have two lines at most, and their title."""
ORDER = (
    "membership",
    "updates",
    "extraction",
    "reconstruction",
    "attributes",
    "identity",
    "epsilon",
    "mechanism",
    "fairness",
    "contribution",
    "attribution",
)
"""Of audits on the page, the most telling first; others follow by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One interval, in its place."""

    lines: tuple[str, ...]
    """Its name."""
    told: str
    """What is said of it to who points at it, or hears it."""
    y: float
    low: float
    value: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Intervals below each other, in their places."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    reference: float | None
    height: float
    bottom: float
    width: int = WIDTH
    left: int = LEFT
    line: int = LINE


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One audit on the page."""

    found: Evidence
    is_of_another: bool
    """Whether the adapter was another one than that in the folder."""
    plots: tuple[tuple[Intervals, Drawn], ...]


def section_of(
    audits: Sequence[Evidence], adapter_sha256: str | None, *, anchor: str = ""
) -> Markup:
    """Return the part of the page about audits; empty if there are none."""
    if not audits:
        return Markup("")
    shown = [
        Shown(
            found=found,
            is_of_another=found.adapter_sha256 != adapter_sha256,
            plots=tuple((plot, draw_intervals(plot)) for plot in found.plots if plot.rows),
        )
        for found in sorted(audits, key=_place)
    ]
    return render("audits.html", audits=shown, few_rows=FEW_ROWS, anchor=anchor)


def draw_intervals(plot: Intervals) -> Drawn:
    """Return where the intervals of a plot lie; one row or more."""
    known = [edge for row in plot.rows for edge in (row.low, row.value, row.high)]
    if plot.reference is not None:
        known.append(plot.reference)
    ticks = nice_ticks(min(known), max(known))

    def across(value: float) -> float:
        return round(LEFT + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (RIGHT - LEFT), 2)

    names = [
        tuple(wrap(row.name, LONGEST_NAME, max_lines=2, placeholder=" …")) for row in plot.rows
    ]
    height = ROW + LINE * (max(map(len, names)) > 1)
    bottom = height * len(plot.rows) + 8
    return Drawn(
        rows=tuple(
            Row(
                lines=names[place],
                told=f"{row.name}: {row.value:.3g} ({row.low:.3g} to {row.high:.3g})",
                y=height * (place + 0.5) + 4,
                low=across(row.low),
                value=across(row.value),
                high=across(row.high),
            )
            for place, row in enumerate(plot.rows)
        ),
        ticks=tuple(Tick(place=across(value), label=f"{value:g}") for value in ticks),
        reference=None if plot.reference is None else across(plot.reference),
        height=bottom + 24,
        bottom=bottom,
    )


def _place(found: Evidence) -> tuple[int, str]:
    """Return where an audit comes on the page."""
    known = found.audit in ORDER
    return (ORDER.index(found.audit) if known else len(ORDER), found.audit)
