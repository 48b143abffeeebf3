"""Measurements by whose they are: people are drawn and compared, not their pictures.

>>> means_of_people(np.array([1.0, 3.0, 5.0, 0.0]), ["a", "a", "b", "c"])
array([2., 5., 0.])
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
FEWEST = 3


def sums_of_people(values: Numbers, people: Sequence[Hashable]) -> tuple[Numbers, Numbers]:
    """Return sum and number of each person's values, (P,) each, in the order of their first.

    Raises:
        ValueError: if lengths differ, a value is not finite, or there are fewer than three people.
    """
    number = {person: place for place, person in enumerate(dict.fromkeys(people))}
    if len(values) != len(people) or not np.isfinite(values).all() or len(number) < FEWEST:
        raise ValueError(
            f"Expected a finite number and a person for each of {FEWEST} people or more, got "
            f"{len(values)} numbers of {len(number)} people. Ask of more, and leave out what has "
            "no number."
        )
    places = np.array([number[person] for person in people])
    sums = np.bincount(places, values).astype(np.float64)
    return sums, np.bincount(places).astype(np.float64)


def means_of_people(values: Numbers, people: Sequence[Hashable]) -> Numbers:
    """Return the mean of each person's values, (P,), in the order of their first.

    Raises:
        ValueError: as `sums_of_people`.
    """
    sums, counts = sums_of_people(values, people)
    return np.asarray(sums / counts)
