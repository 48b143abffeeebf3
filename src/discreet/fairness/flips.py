"""How often two twins are answered differently, and whether it goes one way.

A twin is the same picture with one attribute changed. If answers flip both ways as often, they are
unsteady; if one way more often, one value is served worse.

>>> flips = measure_flips([True, True, True, False], [False, False, False, False], list("abcd"))
>>> flips.share, flips.lost, flips.gained, flips.p_one_way
(0.75, 3, 0, 0.25)
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from discreet.fairness.people import sums_of_people
from discreet.intervals import ratio_interval

DRAWS = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedFlips:
    """How often an outcome of two twins differs."""

    share: float
    """Of pairs whose outcomes differ."""
    low: float
    high: float
    """95 % interval of `share`; whole people are drawn."""
    lost: int
    """Pairs that the first has and the second has not."""
    gained: int
    """Pairs that the second has and the first has not."""
    p_one_way: float
    """Exact, two-sided: chance that so many people flip mostly one way if neither were likelier."""
    people: int
    pairs: int


def measure_flips(
    first: Sequence[bool], second: Sequence[bool], people: Sequence[Hashable]
) -> PairedFlips:
    """Return how often paired outcomes differ, and a sign test over people.

    Args:
        first: (N,) an outcome of the first of each pair: refused, fact named, inside the band.
        second: (N,) the same of the second.
        people: Whose each pair is; three people or more.

    Raises:
        ValueError: if lengths differ or there are too few people.

    Source: McNemar 1947, *Psychometrika* 12(2), exact, with each person's net change as one trial.
    """
    if len(first) != len(second):
        raise ValueError(f"Expected two outcomes of each pair, got {len(first)} and {len(second)}.")
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    net, _ = sums_of_people(change, people)
    differing, pairs = sums_of_people(np.abs(change), people)
    low, high = ratio_interval(differing, pairs, draws=DRAWS)
    one_way, other_way = int((net < 0).sum()), int((net > 0).sum())
    trials = one_way + other_way
    return PairedFlips(
        share=float(np.abs(change).mean()),
        low=low,
        high=high,
        lost=int((change < 0).sum()),
        gained=int((change > 0).sum()),
        p_one_way=float(binomtest(one_way, trials).pvalue) if trials else 1.0,
        people=len(net),
        pairs=len(change),
    )
