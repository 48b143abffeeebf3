"""Where the lines and bars of a small plot go; the page draws them as SVG.

Computes places only: no colours, no markup, so that words are escaped in one place, the template.

    plot = line_plot("epsilon", [1, 2, 3], {"worst owner": [1.0, None, 2.0]})
    plot.curves[0].paths        # two: what is missing is a gap
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

LEFT, RIGHT, TOP, BOTTOM = 46, 350, 12, 164
"""Edges of the part that is drawn in, of a plot of 360 by 190: in pixels on a phone."""
MOST_MARKS = 40
"""Points of a curve that are marked one by one; more would run into each other."""
_LARGEST, _LABELLED = 1e300, 1e-4
"""Of numbers on an axis; of two numbers' distance, as a share, that six digits of a label show."""

Values = Sequence[float | None]
Tell = Callable[[float], str]
"""Returns a number as it is written on the page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    place: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """A line with a name; `paths` are SVG path data, one for each part without a gap."""

    name: str
    paths: tuple[str, ...]
    marks: tuple[tuple[float, float, str], ...]
    """x, y and what is said of the point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A part of a stacked bar; `series` is the number of its colour."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """All that is drawn."""

    title: str
    names: tuple[str, ...]
    """Of the series, in the order of their colours."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...] = ()
    bars: tuple[Bar, ...] = ()
    limit: Tick | None = None
    """A line across that is not to be passed."""


def line_plot(
    title: str,
    rounds: Sequence[int],
    series: Mapping[str, Values],
    *,
    limit: tuple[str, float] | None = None,
    tell: Tell = "{:g}".format,
    has_zero: bool = True,
) -> Plot | None:
    """Return curves over rounds; None if there is no value at all.

    Args:
        title: What the numbers are.
        rounds: N numbers of rounds, ascending.
        series: Name -> N values; None is a gap.
        limit: Name and height of a line across.
        tell: How a number is written beside a point.
        has_zero: Whether the axis starts at 0.
    """
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return None
    ticks = nice_ticks(
        0.0 if has_zero else min(known), max([*known, *([limit[1]] if limit else [])])
    )
    up = _scale(ticks[0], ticks[-1], BOTTOM, TOP)
    across = _scale(rounds[0] - 0.5, rounds[-1] + 0.5, LEFT, RIGHT)
    curves = []
    for name, values in series.items():
        points = [
            None if value is None else (across(number), up(value), value, number)
            for number, value in zip(rounds, values, strict=True)
        ]
        there = [point for point in points if point is not None]
        said = [(x, y, f"round {number}, {name}: {tell(value)}") for x, y, value, number in there]
        marks = said if len(said) <= MOST_MARKS else []
        curves.append(
            Curve(
                name=name,
                paths=_paths([None if point is None else point[:2] for point in points]),
                marks=tuple(marks),
            )
        )
    return Plot(
        title=title,
        names=tuple(series),
        curves=tuple(curves),
        limit=Tick(place=up(limit[1]), label=limit[0]) if limit else None,
        x_ticks=_round_ticks(rounds, across),
        y_ticks=tuple(Tick(place=up(value), label=f"{value:g}") for value in ticks),
    )


def bar_plot(
    title: str,
    rounds: Sequence[int],
    series: Mapping[str, Values],
    *,
    tell: Tell = "{:g}".format,
    least_step: float = 0.0,
) -> Plot | None:
    """Return stacked bars over rounds; None if there is no value at all.

    `least_step` is the least distance of labels on the upright axis: 1 for what is counted.
    """
    columns = list(zip(*series.values(), strict=True))
    tops = [sum(value or 0.0 for value in column) for column in columns]
    if all(value is None for column in columns for value in column):
        return None
    ticks = nice_ticks(0.0, max(tops), least_step=least_step)
    up = _scale(0.0, ticks[-1], BOTTOM, TOP)
    across = _scale(rounds[0] - 0.5, rounds[-1] + 0.5, LEFT, RIGHT)
    share = 0.7 if len(rounds) <= MOST_MARKS else 1.0
    wide = min(32.0, share * (RIGHT - LEFT) / (rounds[-1] - rounds[0] + 1))
    bars = []
    for number, column in zip(rounds, columns, strict=True):
        below = 0.0
        for place, (name, value) in enumerate(zip(series, column, strict=True)):
            if value:
                bars.append(
                    Bar(
                        x=round(across(number) - wide / 2, 2),
                        y=round(up(below + value), 2),
                        width=round(wide, 2),
                        height=round(up(below) - up(below + value), 2),
                        series=place,
                        label=f"round {number}, {name}: {tell(value)}",
                    )
                )
                below += value
    return Plot(
        title=title,
        names=tuple(series),
        bars=tuple(bars),
        x_ticks=_round_ticks(rounds, across),
        y_ticks=tuple(Tick(place=up(value), label=f"{value:g}") for value in ticks),
    )


def nice_ticks(low: float, high: float, *, least_step: float = 0.0) -> list[float]:
    """Return 3 to 6 multiples of 1, 2 or 5 times a power of ten that enclose both numbers.

    >>> nice_ticks(0.0, 7.9)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    >>> nice_ticks(5.43, 5.56)
    [5.4, 5.45, 5.5, 5.55, 5.6]
    >>> nice_ticks(0.0, 2.0, least_step=1.0)
    [0.0, 1.0, 2.0]

    Numbers too near each other for labels to differ have the ticks of one number. What is too large
    or too small for ticks to be numbers is drawn at the edge.
    """
    low, high = (min(max(value, -_LARGEST), _LARGEST) for value in (low, high))
    size = max(abs(low), abs(high))
    span = high - low if high - low > _LABELLED * size else size
    span = span if span > 1 / _LARGEST else 1.0
    power = 10.0 ** floor(log10(span / 4))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= span / 4)
    step = max(step, least_step)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 2)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return the map from numbers to places that takes low to start and high to end."""
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def _round_ticks(rounds: Sequence[int], across: Callable[[float], float]) -> tuple[Tick, ...]:
    """Return at most eight rounds, whole numbers, evenly apart."""
    apart = ceil(len(rounds) / 8)
    return tuple(Tick(place=across(number), label=str(number)) for number in rounds[::apart])


def _paths(points: Sequence[tuple[float, float] | None]) -> tuple[str, ...]:
    """Return path data of every stretch without a gap; one point alone is a dot."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            stretches.append([])
        else:
            stretches[-1].append(point)
    return tuple(
        "M" + " L".join(f"{x:g} {y:g}" for x, y in stretch) + " h0" * (len(stretch) == 1)
        for stretch in stretches
        if stretch
    )
