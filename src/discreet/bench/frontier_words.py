"""A frontier as rows with bands over seeds, as Markdown, CSV and LaTeX, and which rows are best.

A row is on the front if no other row that spends at most as much is better in utility. Bands are
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

from discreet.bench.frontier_cells import (
    GROUPS,
    KINDS,
    METRICS,
    UNTRAINED,
    CellSetting,
    FrontierCell,
    Metric,
)
from discreet.intervals import mean_in_words
from discreet.types import PrivacyStatement, rounded_up

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
    spent: PrivacyStatement | None
    """By the worst owner at most, over seeds; None: nothing is promised."""
    kept: Band | None = None
    """Share of the fall of loss in the clear that is left; None: there is none, or it is not known
    of any seed."""
    is_on_front: bool = False

    @property
    def seeds(self) -> int:
        """Return how many seeds the number has that has most."""
        return max((one.seeds for one in self.values.values()), default=0)


def rows_of(cells: Sequence[FrontierCell]) -> list[FrontierRow]:
    """Return a row for each setting: baselines first, then by rule, unit and falling epsilon."""
    by_setting: dict[CellSetting, list[FrontierCell]] = {}
    for cell in cells:
        by_setting.setdefault(cell.setting, []).append(cell)
    ordered = sorted(
        by_setting, key=lambda s: (KINDS.index(s.kind), s.rule, s.unit, -(s.epsilon or math.inf))
    )
    rows = [_row(by_setting, setting) for setting in ordered]
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

    One row beats another if it spent no more epsilon and has a lower loss, or less epsilon and no
    higher loss. Of each unit, rows with fewer seeds than others neither win nor beat any.
    """
    most: dict[str, int] = {}
    for row in rows:
        if row.spent and UTILITY in row.values:
            unit = row.setting.unit
            most[unit] = max(most.get(unit, 0), row.values[UTILITY].seeds)
    private = {
        place: (row.setting.unit, row.spent.epsilon, row.values[UTILITY].value)
        for place, row in enumerate(rows)
        if row.spent
        and UTILITY in row.values
        and row.values[UTILITY].seeds == most[row.setting.unit]
    }
    return {
        place
        for place, (unit, epsilon, loss) in private.items()
        if not any(
            u == unit and e <= epsilon and v <= loss and (e, v) != (epsilon, loss)
            for u, e, v in private.values()
        )
    }


def as_frontier_table(rows: Sequence[FrontierRow]) -> str:
    """Return a Markdown table for each group of metrics: utility, leakage, fairness and cost."""
    parts, most = [], max((row.seeds for row in rows), default=0)
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
            lines.append([_name(row, most) + star, _epsilon_told(row), *cells])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"**{group.capitalize()}**\n\n{table}")
    return "\n\n".join([*parts, legend_of(rows)])


def in_sentences(rows: Sequence[FrontierRow]) -> list[str]:
    """Return what the table says first: what is left under each budget, and what leaks without."""
    said = [
        f"Hiding one {row.setting.unit} ({row.setting.rule}, epsilon "
        f"{rounded_up(row.spent.epsilon)} {row.spent.qualified}) keeps {_share(row.kept)} of the "
        "fall of held-out loss that training in the clear gives."
        for row in rows
        if row.spent and row.kept
    ]
    told = [(row, row.values["members"].value) for row in rows if "members" in row.values]
    clear = [share for row, share in told if row.setting.kind == "plain"]
    private = [share for row, share in told if row.spent]
    if clear and private:
        said.append(
            f"In the clear, {max(clear):.0%} of members are found at 1 % of false alarms; with "
            f"privacy, {max(private):.0%} at most."
        )
    return said


def _share(found: Band) -> str:
    if found.seeds == 1:
        return f"{found.value:.0%} (one seed)"
    return f"{found.value:.0%} ({found.low:.0%} to {found.high:.0%} over {found.seeds} seeds)"


def _kept(
    base: Sequence[FrontierCell], plain: Sequence[FrontierCell], own: Sequence[FrontierCell]
) -> Band | None:
    """Return the share of the fall of loss in the clear that is left, of each seed that has both.

    None: no seed has, or with one of them nothing was gained in the clear, so that there is nothing
    to be shared.
    """
    losses = {cell.seed: cell.values[UTILITY] for cell in plain if UTILITY in cell.values}
    before = [cell.values[UTILITY] for cell in base if UTILITY in cell.values]
    pairs = [
        (before[0] - cell.values[UTILITY], before[0] - losses[cell.seed])
        for cell in own
        if before and UTILITY in cell.values and cell.seed in losses
    ]
    if not pairs or any(fall <= 0 for _, fall in pairs):
        return None
    return band([left / fall for left, fall in pairs])


def as_csv(rows: Sequence[FrontierRow]) -> str:
    """Return one line for each row and metric, with its band, which one seed has not."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["kind", "rule", "unit", "epsilon", "metric", "mean", "low", "high", "seeds", "spent"]
    )
    for row in rows:
        one = row.setting
        epsilon = "" if one.epsilon is None else f"{one.epsilon:g}"
        for name, found in row.values.items():
            band = ("", "") if found.seeds == 1 else (f"{found.low:.6g}", f"{found.high:.6g}")
            numbers = (f"{found.value:.6g}", *band, found.seeds)
            writer.writerow(
                [one.kind, one.rule, one.unit, epsilon, name, *numbers, row.spent or ""]
            )
    return out.getvalue()


def as_latex(rows: Sequence[FrontierRow]) -> str:
    """Return a `tabular` for a paper, by `booktabs`."""
    metrics, most = _measured(rows), max((row.seeds for row in rows), default=0)
    head = " & ".join(_escaped(text) for text in ("adapter", "epsilon", *map(_head, metrics)))
    lines = [
        rf"\begin{{tabular}}{{ll{'r' * len(metrics)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
    ]
    for row in rows:
        cells = [_name(row, most), _epsilon_told(row)]
        cells += [_told(row.values.get(one.name)) for one in metrics]
        lines.append(" & ".join(map(_escaped, cells)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _row(
    by_setting: Mapping[CellSetting, Sequence[FrontierCell]], setting: CellSetting
) -> FrontierRow:
    cells = by_setting[setting]
    names = [one.name for one in METRICS if any(one.name in cell.values for cell in cells)]
    spent = [cell.privacy for cell in cells if cell.privacy is not None]
    base = by_setting.get(CellSetting(kind="base"), ())
    plain = by_setting.get(CellSetting(kind="plain", rule=setting.rule), ())
    return FrontierRow(
        setting=setting,
        values={
            name: band([cell.values[name] for cell in cells if name in cell.values])
            for name in names
        },
        spent=max(spent, key=lambda one: one.epsilon, default=None),
        kept=_kept(base, plain, cells) if setting.kind == "private" else None,
    )


def _measured(rows: Sequence[FrontierRow]) -> list[Metric]:
    return [one for one in METRICS if any(one.name in row.values for row in rows)]


def _head(metric: Metric) -> str:
    return metric.label + (f", {metric.unit}" if metric.unit else "")


def _epsilon_told(row: FrontierRow) -> str:
    """Return what was asked for and what was spent of it; in the clear, none."""
    one = row.setting
    if one.epsilon is None:
        return "none"
    spent = f", spent {rounded_up(row.spent.epsilon)}" if row.spent else ""
    return f"{one.epsilon:g} ({one.unit}{spent})"


def _told(found: Band | None) -> str:
    return "" if found is None else mean_in_words(**asdict(found))


def _name(row: FrontierRow, most: int) -> str:
    """Return the name of a row, with how many seeds it has if others have more."""
    few = (
        ""
        if row.setting.kind in UNTRAINED or row.seeds == most
        else f", {row.seeds} of {most} seeds"
    )
    return row.setting.in_words + few


def legend_of(rows: Sequence[FrontierRow]) -> str:
    """Return what the numbers and signs of the table are."""
    if not rows:
        return "No cell is measured."
    trained = [row.seeds for row in rows if row.setting.kind not in UNTRAINED] or [1]
    few, most = min(trained), max(trained)
    said = f"Means over {most if few == most else f'{few} to {most}'} seeds ± half of a 95 % "
    said += "interval (Student's t); what is not trained has one. "
    if few < most:
        said += f"Rows of fewer than {most} are not for comparing with others, and have no star. "
    if most == 1:
        said = "One seed: how far another would differ is not known. "
    if any(row.is_on_front for row in rows):
        said += "*: no other setting of its unit spends as little and has as low a loss. "
    promises = list(dict.fromkeys(row.spent.qualified for row in rows if row.spent))
    if promises:
        said += f"Epsilon: {'; '.join(promises)}. Noise came from seeds, so that cells can be made "
        said += "again: whoever knows a seed can take it off, so nobody's own data are for this."
    return said.strip()


def _escaped(text: str) -> str:
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    return text.replace("±", r"$\pm$")


def as_frontier_record(rows: Sequence[FrontierRow]) -> list[dict[str, Any]]:
    """Return rows as plain values for JSON, which `discreet report` draws."""
    most = max((row.seeds for row in rows), default=0)
    return [
        asdict(row.setting)
        | {
            "name": _name(row, most),
            "spent": None if row.spent is None else asdict(row.spent),
            "epsilon_told": _epsilon_told(row),
            "kept": None if row.kept is None else asdict(row.kept),
            "is_on_front": row.is_on_front,
            "values": {name: asdict(found) for name, found in row.values.items()},
        }
        for row in rows
    ]
