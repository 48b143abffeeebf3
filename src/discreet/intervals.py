"""Intervals for shares: of independent trials, exact; of units such as persons, by a bootstrap.

Pictures of one person depend on each other, so that whole units are drawn. It knows nothing of
what a unit is, and nothing here is private.

>>> share_interval(0, 100)  # nothing found in a hundred: up to 3.6 % may be there
(0.0, 0.03621669264517641)

>>> ratio_interval(np.array([3.0, 1.0, 2.0, 2.0]), np.full(4, 4.0), draws=1000)
(0.3125, 0.625)
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta


def ratio_interval(
    above: npt.NDArray[Any], below: npt.NDArray[Any], *, draws: int
) -> tuple[float, float]:
    """Return a 95 % interval of sum over sum, by a percentile bootstrap that draws whole units.

    Args:
        above: (U,) the part of each unit in the sum above the line.
        below: (U,) the part of each unit in the sum below it; a drawn sum below 1 counts as 1.
        draws: How many.

    Source: Efron and Tibshirani 1993, *An Introduction to the Bootstrap*, ch. 13.
    """
    drawn = np.random.default_rng(0).integers(len(above), size=(draws, len(above)))
    ratios = above[drawn].sum(1) / np.maximum(below[drawn].sum(1), 1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def share_interval(
    successes: float, trials: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval that holds the chance of a success at least as often as `confidence` says.

    It is exact and two-sided: the chance that it misses is at most `(1 - confidence) / 2` on either
    side, so that each end alone is a one-sided bound at `(1 + confidence) / 2`.

    Args:
        successes: 0 to `trials`.
        trials: 1 or more, independent of each other. Of trials in groups that may be alike, give
            the number of groups and as large a share of it: they cannot be more alike.
        confidence: Between 0 and 1.

    Raises:
        ValueError: if there is no trial, or the numbers do not fit each other.

    Source: Clopper and Pearson 1934, *Biometrika* 26(4), by quantiles of the beta distribution.
    """
    if not (0 <= successes <= trials and trials >= 1 and 0 < confidence < 1):
        raise ValueError(
            "Expected 0 <= successes <= trials, 1 trial or more and 0 < confidence < 1, got "
            f"{successes} of {trials} at {confidence}. Correct them."
        )
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return float(low), float(high)


def mean_in_words(value: float, low: float, high: float, seeds: int) -> str:
    """Return a mean over seeds, with half of its interval where there is more than one.

    >>> mean_in_words(1.234, 1.1, 1.368, seeds=3), mean_in_words(123.4, 123.4, 123.4, seeds=1)
    ('1.23 ± 0.13', '123')
    """
    digits = 0 if abs(value) >= 100 else 2
    reach = f" ± {(high - low) / 2:.{digits}f}" if seeds > 1 else ""
    return f"{value:.{digits}f}{reach}"
