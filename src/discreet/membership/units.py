"""From scores of examples to scores of who they belong to: people, or whole owners.

>>> scores_of_units(np.array([1.0, 3.0, 0.5]), ["a", "a", "b"])
{'a': 2.0, 'b': 0.5}
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
H = TypeVar("H", bound=Hashable)
Together = Literal["mean", "sum", "largest"]
TOGETHER: Mapping[Together, Callable[[Numbers], Any]] = {
    "mean": np.mean,
    "sum": np.sum,
    "largest": np.max,
}
"""How scores become one. The sum of log-likelihood ratios is the ratio of all, were examples
independent; the mean does not reward who has many; the largest finds one that is remembered."""


def scores_of_units(
    scores: Numbers, units: Sequence[H], *, together: Together = "mean"
) -> dict[H, float]:
    """Return one score for each unit, in the order of their first example.

    Args:
        scores: (N,) of examples; higher: a member.
        units: Whose each is.
        together: A key of `TOGETHER`.

    Raises:
        ValueError: if lengths differ or a score is not finite.
    """
    if len(scores) != len(units) or not np.isfinite(scores).all():
        raise ValueError(
            f"Expected a finite score for each of {len(units)} examples, got {len(scores)}. Leave "
            "out examples without one."
        )
    places: dict[H, list[int]] = {}
    for place, unit in enumerate(units):
        places.setdefault(unit, []).append(place)
    return {unit: float(TOGETHER[together](scores[own])) for unit, own in places.items()}
