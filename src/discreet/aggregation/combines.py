"""Ways to make one update of several, by the word in the plan; a new one is a line here."""

from collections.abc import Callable, Mapping

from discreet.aggregation.mean import Mean
from discreet.aggregation.robust import Median, MultiKrum, TrimmedMean
from discreet.aggregation.rule import Combine
from discreet.aggregation.states import Shapes

COMBINES: Mapping[str, Callable[[Shapes, int], Combine]] = {
    "mean": lambda shapes, hostile: Mean(shapes),
    "median": Median,
    "trimmed_mean": TrimmedMean,
    "multi_krum": MultiKrum,
}
"""Called with the shapes of what learns and the number of hostile owners to withstand."""


def make_combine(name: str, shapes: Shapes, *, hostile: int) -> Combine:
    """Return a fresh combine for one round.

    Args:
        name: A word of `COMBINES`.
        shapes: Of the tensors that learn in the round.
        hostile: How many owners may send anything; 0 with the mean, 1 or more with the others.

    Raises:
        ValueError: if the word is not known, or the number does not fit it.
    """
    least_updates(name, hostile=hostile)
    return COMBINES[name](shapes, hostile)


def least_updates(name: str, *, hostile: int) -> int:
    """Return how many updates a combine needs; a plan's `min_replies` may not be below it.

    Raises:
        ValueError: if the word is not known, or the number of hostile owners does not fit it.
    """
    if name not in COMBINES:
        raise ValueError(f"Expected combine as one of {', '.join(COMBINES)}, got {name!r}.")
    if hostile < 0 or (hostile > 0) is (name == "mean"):
        raise ValueError(
            f"Expected hostile_owners = 0 for mean and 1 or more for the others, got {hostile} for "
            f"{name}: the mean withstands none. Change combine or hostile_owners."
        )
    return 2 * hostile + (3 if name == "multi_krum" else 1)
