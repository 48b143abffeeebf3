"""Intervals for shares of pictures or answers that come in units, such as persons or questions.

Pictures of one person depend on each other, so that whole units are drawn. It knows nothing of
what a unit is, and nothing here is private.

>>> ratio_interval(np.array([3.0, 1.0, 2.0, 2.0]), np.full(4, 4.0), draws=1000)
(0.3125, 0.6875)
"""

from typing import Any

import numpy as np
import numpy.typing as npt


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
