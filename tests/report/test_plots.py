"""Places of lines and bars, against the numbers that they stand for."""

import doctest
from math import isclose, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.report import plots
from discreet.report.plots import BOTTOM, LEFT, RIGHT, TOP, bar_plot, line_plot, nice_ticks

numbers = st.floats(0, 1e9, allow_nan=False).map(lambda value: float(f"{value:.6g}"))


def value_at(plot: plots.Plot, place: float) -> float:
    """Read a value off the plot, as a person would: between the lowest and the highest tick."""
    low, high = plot.y_ticks[0], plot.y_ticks[-1]
    share = (place - low.place) / (high.place - low.place)
    return float(low.label) + share * (float(high.label) - float(low.label))


def test_points_can_be_read_off_again() -> None:
    plot = line_plot("e", [1, 2, 3], {"a": [1.0, 2.5, 7.0], "b": [0.5, 1.0, 2.0]})
    assert plot is not None
    read = [[round(value_at(plot, y), 2) for _, y, _ in curve.marks] for curve in plot.curves]
    assert read == [[1.0, 2.5, 7.0], [0.5, 1.0, 2.0]]
    assert plot.curves[0].marks[2][2] == "round 3, a: 7"


def test_bars_stand_on_each_other_and_are_as_high_as_their_values() -> None:
    plot = bar_plot("mb", [4, 5], {"down": [3.0, 1.0], "up": [2.0, None]})
    assert plot is not None
    down, up = plot.bars[:2]
    assert isclose(up.y + up.height, down.y, abs_tol=0.02)
    assert isclose(down.y + down.height, BOTTOM, abs_tol=0.02)
    assert value_at(plot, up.y) == pytest.approx(5.0, abs=0.01)
    assert [bar.label for bar in plot.bars] == [
        "round 4, down: 3",
        "round 4, up: 2",
        "round 5, down: 1",
    ]


def test_what_is_missing_is_a_gap() -> None:
    plot = line_plot("e", [1, 2, 3, 4], {"a": [1.0, None, 2.0, 3.0]})
    assert plot is not None
    assert [path.count("L") for path in plot.curves[0].paths] == [0, 1]
    assert plot.curves[0].paths[0].endswith(" h0"), "a point alone is a dot"


def test_without_any_value_there_is_no_plot() -> None:
    assert line_plot("e", [1, 2], {"a": [None, None]}) is None
    assert bar_plot("e", [1, 2], {"a": [None, None]}) is None
    assert bar_plot("e", [1, 2], {"a": [0.0, None]}) is not None


def test_a_limit_is_inside_the_plot_and_where_it_belongs() -> None:
    plot = line_plot("e", [1], {"a": [2.0]}, limit=("target", 8.0))
    assert plot is not None
    assert plot.limit is not None
    assert value_at(plot, plot.limit.place) == pytest.approx(8.0, abs=0.01)
    assert plot.limit.place >= TOP


@given(low=numbers, more=numbers)
def test_ticks_are_few_even_and_enclose_what_is_drawn(low: float, more: float) -> None:
    ticks = nice_ticks(low, low + more)
    assert 3 <= len(ticks) <= 6
    slack = 1e-6 * max(1.0, low + more)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + more - slack
    steps = [after - before for before, after in zip(ticks, ticks[1:], strict=False)]
    assert all(isclose(step, steps[0], rel_tol=1e-3) for step in steps)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.3, 0.1 + 0.2),
        (0.30000000000000004 - 1e-17, 0.30000000000000004),
        (5e-324, 5e-324),
        (0.0, 5e-324),
        (-1.7e308, 1.7e308),
        (-0.3, -0.3),
        (1e6, 1e6 + 1),
    ],
)
def test_numbers_at_the_edge_of_what_a_machine_can_tell_have_ticks_whose_labels_differ(
    low: float, high: float
) -> None:
    ticks = nice_ticks(low, high)
    labels = [f"{tick:g}" for tick in ticks]
    assert len(set(labels)) == len(labels) >= 3
    assert all(isfinite(tick) for tick in ticks)


@given(low=st.floats(allow_nan=False), high=st.floats(allow_nan=False))
def test_any_two_numbers_have_ticks(low: float, high: float) -> None:
    ticks = nice_ticks(min(low, high), max(low, high))
    assert 3 <= len(ticks) <= 7
    assert ticks == sorted(set(ticks))


@given(
    values=st.lists(st.none() | numbers, min_size=1, max_size=300),
    first=st.integers(1, 1000),
    has_zero=st.booleans(),
)
def test_nothing_is_drawn_outside(values: list[float | None], first: int, has_zero: bool) -> None:
    rounds = list(range(first, first + len(values)))
    lines = line_plot("e", rounds, {"a": values}, has_zero=has_zero)
    bars = bar_plot("e", rounds, {"a": values, "b": values})
    places = [(x, y) for curve in (lines.curves if lines else ()) for x, y, _ in curve.marks]
    for bar in bars.bars if bars else ():
        places += [(bar.x, bar.y), (bar.x + bar.width, bar.y + bar.height)]
    assert all(LEFT - 0.1 <= x <= RIGHT + 0.1 for x, _ in places)
    assert all(TOP - 0.1 <= y <= BOTTOM + 0.1 for _, y in places)
    assert len(lines.x_ticks if lines else ()) <= 8


def test_the_examples_in_the_file_run() -> None:
    result = doctest.testmod(plots)
    assert result.attempted >= 2
    assert not result.failed
