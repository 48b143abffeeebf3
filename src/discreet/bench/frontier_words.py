"""A frontier as rows with bands over seeds, as Markdown, CSV and LaTeX, and which rows are best.

A row is on the front if no other row that promises at least as much is better in utility. Bands are
95 % intervals of the mean over seeds by Student's t; one seed has none.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from discreet.bench.frontier_cells import GROUPS, KINDS, METRICS, CellSetting, FrontierCell, Metric
from discreet.intervals import mean_in_words

UTILITY = "loss"
"""By which rows are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """A mean over seeds, with its interval."""

    value: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontierRow:
    """A setting, over its seeds."""

    setting: CellSetting
    values: Mapping[str, Band] = field(repr=False)
    promise: str
    """What the worst owner spent at most, over seeds; empty: nothing is promised."""
    qualified: str = ""
    """Delta, unit and neighbouring relation of it."""
    is_on_front: bool = False


def rows_of(cells: Sequence[FrontierCell]) -> list[FrontierRow]:
    """Return a row for each setting: baselines first, then by rule, unit and falling epsilon."""
    by_setting: dict[CellSetting, list[FrontierCell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting, []).append(cell)
    ordered = sorted(
        by_setting, key=lambda s: (KINDS.index(s.kind), s.rule, s.unit, -(s.epsilon or math.inf))
    )
    rows = [_row(setting, by_setting[setting]) for setting in ordered]
    best = on_front(rows)
    return [replace(row, is_on_front=place in best) for place, row in enumerate(rows)]


def band(values: Sequence[float]) -> Band:
    """Return the mean and its 95 % interval over seeds.

    >>> round(band([1.0, 2.0, 3.0]).low, 3)
    -0.484
    """
    mean, count = float(np.mean(values)), len(values)
    reach = 0.0
    if count > 1:
        spread = float(np.std(values, ddof=1)) / math.sqrt(count)
        reach = float(stdtrit(count - 1, 0.975)) * spread
    return Band(value=mean, low=mean - reach, high=mean + reach, seeds=count)


def on_front(rows: Sequence[FrontierRow]) -> set[int]:
    """Return the places of private rows that no row of the same unit beats.

    One row beats another if it spends no more epsilon and has a lower loss, or less epsilon and no
    higher loss.
    """
    private = [
        (place, row)
        for place, row in enumerate(rows)
        if row.setting.epsilon is not None and UTILITY in row.values
    ]
    found = set()
    for place, row in private:
        own = (row.setting.epsilon or 0.0, row.values[UTILITY].value)
        others = [
            (other.setting.epsilon or 0.0, other.values[UTILITY].value)
            for at, other in private
            if at != place and other.setting.unit == row.setting.unit
        ]
        if not any(o[0] <= own[0] and o[1] <= own[1] and o != own for o in others):
            found.add(place)
    return found


def as_frontier_table(rows: Sequence[FrontierRow]) -> str:
    """Return a Markdown table for each group of metrics: utility, leakage, fairness and cost."""
    parts = []
    for group in GROUPS:
        metrics = [one for one in _measured(rows) if one.group == group]
        if not metrics:
            continue
        own = [row for row in rows if any(one.name in row.values for one in metrics)]
        lines = [["adapter", "epsilon", *map(_head, metrics)]]
        lines.append(["---"] * len(lines[0]))
        for row in own:
            star = " *" if row.is_on_front and group == "utility" else ""
            cells = [_told(row.values.get(one.name)) for one in metrics]
            lines.append([row.setting.in_words + star, _epsilon(row), *cells])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"**{group.capitalize()}**\n\n{table}")
    return "\n\n".join([*parts, legend_of(rows)])


def in_sentences(rows: Sequence[FrontierRow]) -> list[str]:
    """Return what the table says first: what a budget costs, and what leaks without one."""
    base = next((row for row in rows if row.setting.kind == "base"), None)
    plain = {row.setting.rule: row for row in rows if row.setting.kind == "plain"}
    said = [
        f"Hiding one {row.setting.unit} at epsilon {row.setting.epsilon:g} keeps {kept:.0%} of the "
        "fall of held-out loss that training in the clear gives."
        for row in rows
        if row.is_on_front and (kept := _kept(row, base, plain.get(row.setting.rule))) is not None
    ]
    told = [(row, row.values["members"].value) for row in rows if "members" in row.values]
    clear = [share for row, share in told if row.setting.kind == "plain"]
    private = [share for row, share in told if row.promise]
    if clear and private:
        said.append(
            f"In the clear, {max(clear):.0%} of members are found at 1 % of false alarms; with "
            f"privacy, {max(private):.0%} at most."
        )
    return said


def _kept(row: FrontierRow, base: FrontierRow | None, plain: FrontierRow | None) -> float | None:
    """Return what of the fall of loss is left; None: in the clear nothing was gained, or asked."""
    losses = [
        one.values[UTILITY].value for one in (base, plain, row) if one and UTILITY in one.values
    ]
    if len(losses) < 3 or losses[0] <= losses[1]:
        return None
    return (losses[0] - losses[2]) / (losses[0] - losses[1])


def as_csv(rows: Sequence[FrontierRow]) -> str:
    """Return one line for each row and metric, with its band."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["kind", "rule", "unit", "epsilon", "metric", "mean", "low", "high", "seeds", "promise"]
    )
    for row in rows:
        one = row.setting
        epsilon = "" if one.epsilon is None else f"{one.epsilon:g}"
        for name, found in row.values.items():
            numbers = [f"{value:.6g}" for value in (found.value, found.low, found.high)]
            writer.writerow(
                [one.kind, one.rule, one.unit, epsilon, name, *numbers, found.seeds, row.promise]
            )
    return out.getvalue()


def as_latex(rows: Sequence[FrontierRow]) -> str:
    """Return a `tabular` for a paper, by `booktabs`."""
    metrics = _measured(rows)
    head = " & ".join(_escaped(text) for text in ("adapter", "epsilon", *map(_head, metrics)))
    lines = [
        rf"\begin{{tabular}}{{ll{'r' * len(metrics)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [row.setting.in_words, _epsilon(row)]
        cells += [_told(row.values.get(one.name)) for one in metrics]
        lines.append(" & ".join(map(_escaped, cells)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(setting: CellSetting, cells: Sequence[FrontierCell]) -> FrontierRow:
    names = [one.name for one in METRICS if any(one.name in cell.values for cell in cells)]
    spent = [cell.privacy for cell in cells if cell.privacy is not None]
    worst = max(spent, key=lambda one: one.epsilon, default=None)
    return FrontierRow(
        setting=setting,
        values={
            name: band([cell.values[name] for cell in cells if name in cell.values])
            for name in names
        },
        promise="" if worst is None else str(worst),
        qualified="" if worst is None else worst.qualified,
    )


def _measured(rows: Sequence[FrontierRow]) -> list[Metric]:
    return [one for one in METRICS if any(one.name in row.values for row in rows)]


def _head(metric: Metric) -> str:
    return metric.label + (f", {metric.unit}" if metric.unit else "")


def _epsilon(row: FrontierRow) -> str:
    one = row.setting
    return "none" if one.epsilon is None else f"{one.epsilon:g} ({one.unit})"


def _told(found: Band | None) -> str:
    return "" if found is None else mean_in_words(**asdict(found))


def legend_of(rows: Sequence[FrontierRow]) -> str:
    """Return what the numbers and signs of the table are."""
    promises = list(dict.fromkeys(row.qualified for row in rows if row.qualified))
    seeds = max((one.seeds for row in rows for one in row.values.values()), default=1)
    said = f"Means over {seeds} seeds ± half of a 95 % interval (Student's t). "
    if seeds == 1:
        said = "One seed: how far another would differ is not known. "
    if any(row.is_on_front for row in rows):
        said += "*: no other setting of its unit spends as little and has as low a loss. "
    return said + (f"Epsilon: {'; '.join(promises)}." if promises else "")


def _escaped(text: str) -> str:
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    return text.replace("±", r"$\pm$")


def as_frontier_record(rows: Sequence[FrontierRow]) -> list[dict[str, Any]]:
    """Return rows as plain values for JSON, which `discreet report` draws."""
    return [
        asdict(row.setting)
        | {
            "name": row.setting.in_words,
            "promise": row.promise,
            "is_on_front": row.is_on_front,
            "values": {name: asdict(found) for name, found in row.values.items()},
        }
        for row in rows
    ]
