"""Many questions at once: p-values that keep the chance of one false finding among all of them.

>>> adjusted({"skin": 0.01, "gender": 0.04, "age": 0.03})
{'skin': 0.03, 'gender': 0.06, 'age': 0.06}
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

H = TypeVar("H", bound=Hashable)


def adjusted(p_values: Mapping[H, float]) -> dict[H, float]:
    """Return Holm's adjusted p-values, in the order given.

    Whoever reports what is below 0.05 reports something false of any of them with a chance of 0.05
    at most, however the questions depend on each other.

    Args:
        p_values: Of each question, between 0 and 1.

    Raises:
        ValueError: if a p-value is none.

    Source: Holm 1979, *Scandinavian Journal of Statistics* 6(2).
    """
    for p in p_values.values():
        if not 0 <= p <= 1:
            raise ValueError(
                f"Expected p-values between 0 and 1, got {p}. Leave out what has none."
            )
    largest, found = 0.0, dict[H, float]()
    ranked = sorted(p_values, key=lambda name: p_values[name])
    for place, name in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - place) * p_values[name]))
        found[name] = largest
    return {name: found[name] for name in p_values}
