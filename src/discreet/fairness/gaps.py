"""Rates by group, the largest gap between two groups, and whether chance explains it.

A largest gap is above zero even where all groups are served alike: with many small groups by a lot.
Its p-value compares it with gaps between the same people in groups drawn at random; its interval is
of the gap between the two groups that are named. Of a group with few people nothing is told.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from discreet.fairness.people import FEWEST, Numbers, sums_of_people
from discreet.intervals import ratio_interval

MIN_PEOPLE = 30
"""People that a group needs for a number to be told of it."""
DRAWS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRate:
    """How one group is served."""

    value: float
    """Mean over its examples."""
    low: float
    high: float
    """95 % interval; whole people are drawn."""
    examples: int
    people: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """The largest difference between two groups."""

    value: float
    low: float
    high: float
    """95 % interval of the difference between these two groups; whole people are drawn."""
    p: float
    """Chance of so large a gap between any two if groups had nothing to do with it."""
    lowest: str
    highest: str
    untold: tuple[str, ...]
    """Groups with too few people, of which nothing is told."""


def rates_of(
    values: Numbers,
    groups: Sequence[str],
    people: Sequence[Hashable],
    *,
    min_people: int = MIN_PEOPLE,
) -> dict[str, GroupRate | None]:
    """Return the rate of each group, by name; None: it has fewer people than `min_people`.

    Args:
        values: (N,) of each example, finite: 1 for a fact named, a loss, a number of words.
        groups: Of each example; a person is in one group.
        people: Whose each example is.
        min_people: Three or more.

    Raises:
        ValueError: if lengths differ, a value is not finite, or somebody is in two groups.
    """
    _check(values, groups, people, min_people)
    found: dict[str, GroupRate | None] = {}
    for group in sorted(set(groups)):
        inside = [one == group for one in groups]
        own = list(compress(people, inside))
        found[group] = None
        if len(set(own)) >= min_people:
            sums, counts = sums_of_people(values[inside], own)
            low, high = ratio_interval(sums, counts, draws=DRAWS)
            value, size = float(sums.sum() / counts.sum()), int(counts.sum())
            found[group] = GroupRate(
                value=value, low=low, high=high, examples=size, people=len(sums)
            )
    return found


def measure_gap(
    values: Numbers,
    groups: Sequence[str],
    people: Sequence[Hashable],
    *,
    min_people: int = MIN_PEOPLE,
) -> Gap | None:
    """Return the largest gap between two groups; None: fewer than two have enough people.

    Arguments and errors are those of `rates_of`.

    Source: demographic parity difference, Agarwal et al. 2018 (arXiv:1803.02453), of any mean; the
    p-value is that of a permutation of people, with the observed order counted in.
    """
    rates = rates_of(values, groups, people, min_people=min_people)
    told = {group: rate for group, rate in rates.items() if rate is not None}
    if len(told) < 2:
        return None
    lowest = min(told, key=lambda group: told[group].value)
    highest = max(told, key=lambda group: told[group].value)
    inside = [group in told for group in groups]
    kept = list(compress(people, inside))
    sums, counts = sums_of_people(values[inside], kept)
    names = sorted(told)
    group_of = dict(zip(kept, compress(groups, inside), strict=True))
    own = np.array([names.index(group_of[person]) for person in dict.fromkeys(kept)])
    value = _widest(sums, counts, own, len(names))
    draw = np.random.default_rng(0)
    as_wide = sum(
        _widest(sums, counts, draw.permutation(own), len(names)) >= value - 1e-12
        for _ in range(DRAWS)
    )
    ends = [
        _drawn(sums[own == place], counts[own == place], draw)
        for place in (names.index(highest), names.index(lowest))
    ]
    low, high = np.quantile(ends[0] - ends[1], (0.025, 0.975))
    return Gap(
        value=value,
        low=float(low),
        high=float(high),
        p=(1 + as_wide) / (1 + DRAWS),
        lowest=lowest,
        highest=highest,
        untold=tuple(group for group, rate in rates.items() if rate is None),
    )


def odds_gap(
    hits: Sequence[bool],
    truth: Sequence[str],
    groups: Sequence[str],
    people: Sequence[Hashable],
    *,
    min_people: int = MIN_PEOPLE,
) -> Mapping[str, Gap | None]:
    """Return the gap in what is said among those of whom the same is true, by truth.

    The largest of them is the equalised-odds difference (Hardt et al. 2016, arXiv:1610.02413).

    Args:
        hits: (N,) whether something was said.
        truth: (N,) what is true of each; each value is asked apart.
        groups: Of each example; a person is in one group.
        people: Whose each example is.
        min_people: As in `rates_of`.

    Raises:
        ValueError: as `rates_of`.
    """
    if len(hits) != len(truth):
        raise ValueError(f"Expected a truth for each of {len(hits)} hits, got {len(truth)}.")
    values = np.asarray(hits, dtype=np.float64)
    _check(values, groups, people, min_people)
    found: dict[str, Gap | None] = {}
    for value in sorted(set(truth)):
        inside = [one == value for one in truth]
        own_groups, own_people = list(compress(groups, inside)), list(compress(people, inside))
        found[value] = measure_gap(values[inside], own_groups, own_people, min_people=min_people)
    return found


def _check(
    values: Numbers, groups: Sequence[str], people: Sequence[Hashable], min_people: int
) -> None:
    if not len(values) == len(groups) == len(people) or not np.isfinite(values).all():
        raise ValueError(
            f"Expected a finite value, a group and a person for each example, got {len(values)}, "
            f"{len(groups)} and {len(people)}. Leave out what has none."
        )
    if len(set(zip(people, groups, strict=True))) != len(set(people)):
        raise ValueError("Expected each person in one group, got somebody in two. Ask them apart.")
    if min_people < FEWEST:
        raise ValueError(f"Expected {FEWEST} people or more in a group, got {min_people}.")


def _widest(sums: Numbers, counts: Numbers, own: npt.NDArray[np.int64], groups: int) -> float:
    """Return the largest less the smallest rate."""
    rates = np.bincount(own, sums, minlength=groups) / np.bincount(own, counts, minlength=groups)
    return float(np.ptp(rates))


def _drawn(sums: Numbers, counts: Numbers, draw: np.random.Generator) -> Numbers:
    """Return the rate of a group in each of many draws of its people."""
    places = draw.integers(len(sums), size=(DRAWS, len(sums)))
    return np.asarray(sums[places].sum(1) / counts[places].sum(1))
