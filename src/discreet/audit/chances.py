"""Of many questions asked at once, which have an answer that is surely not by chance.

>>> below_holm([0.001, 0.04, 0.03])
[True, False, False]
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from discreet.fairness import adjusted

LEVEL = 0.05
"""Chance that one question or more is answered wrongly where nothing can be read."""


def below_holm(chances: Sequence[float], *, level: float = LEVEL) -> list[bool]:
    """Return which p-values are small enough, so that all are right at once but for `level`."""
    return [p <= level for p in adjusted(dict(enumerate(chances))).values()]


def p_of_mean(values: npt.NDArray[Any]) -> float:
    """Return the one-sided p-value of a mean over people above 0, by Student's t.

    Where all people have the same value, each is a fair coin.

    Args:
        values: (U,) of each person; two people or more.
    """
    spread = float(values.std(ddof=1)) / np.sqrt(len(values))
    return p_of_estimate(float(values.mean()), spread, len(values))


def p_of_estimate(value: float, spread: float, people: int) -> float:
    """Return the one-sided p-value of an estimate above 0 with its standard error."""
    if spread < 1e-12:
        return 0.5**people if value > 0 else 1.0
    return float(t.sf(value / spread, people - 1))
