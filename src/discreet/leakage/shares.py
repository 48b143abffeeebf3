"""Intervals for a share that is a mean over people, each of whom was tried several times.

Trials of one person depend on each other. A bootstrap that draws people says "0 to 0" when nothing
was found and misses rare finds; this interval stays honest there: it is that of Clopper and Pearson
for as many independent trials as these people are worth. It says nothing of one person.

>>> low, high = person_interval(np.zeros(100), trials=600)  # nothing found of a hundred people
>>> low, round(high, 4)
(0.0, 0.0362)
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta, t

Numbers = npt.NDArray[np.float64]


def person_means(
    values: npt.NDArray[Any], people: npt.NDArray[Any]
) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Return the mean of each person's values, (U,), and which of these each value is in, (N,)."""
    _, place = np.unique(people, return_inverse=True)
    return np.bincount(place, weights=values) / np.bincount(place), place


def person_interval(
    shares: Numbers, *, trials: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Return a two-sided interval for the mean over the people that these were drawn from.

    The trials are worth n* = p (1 - p) / v independent ones, where v is the variance of the mean
    as the spread between people tells it, fewer for few people, and never more than there are.
    Where all people are at 0, or all at 1, v tells nothing and each person is one trial.

    Args:
        shares: (U,) of each person the share of own trials with a success, in [0, 1].
        trials: Of all people together.
        confidence: Between 0 and 1.

    Raises:
        ValueError: if there are fewer than two people, fewer trials than people, or a share is
            outside of [0, 1].

    Source: Korn and Graubard 1998, *Survey Methodology* 24(2), 193-201.
    """
    count = len(shares)
    if count < 2 or trials < count or not 0 < confidence < 1:
        raise ValueError(
            f"Expected two people or more, a trial of each and 0 < confidence < 1, got {count} "
            f"people and {trials} trials at {confidence}. Add people."
        )
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError("Expected shares from 0 to 1, got another. Divide successes by trials.")
    tail = (1 - confidence) / 2
    share = float(shares.mean())
    worth = _worth(shares, trials, tail)
    found, missed = share * worth, (1 - share) * worth
    low = float(beta.ppf(tail, found, missed + 1)) if found > 0 else 0.0
    high = float(beta.ppf(1 - tail, found + 1, missed)) if missed > 0 else 1.0
    return low, high


def _worth(shares: Numbers, trials: int, tail: float) -> float:
    """Return how many independent trials the shares of people are worth."""
    count, share = len(shares), float(shares.mean())
    variance = float(shares.var(ddof=1)) / count
    if share in (0.0, 1.0):
        return float(count)
    if variance == 0:
        return float(trials)
    few = (t.ppf(tail, trials - 1) / t.ppf(tail, count - 1)) ** 2
    return float(min(share * (1 - share) / variance * few, trials))
