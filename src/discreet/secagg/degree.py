"""How many neighbours a member needs, and how many of them have to stay.

Bell et al. 2020 (eprint 2020/704), section 3: on a ring in random order three things may go wrong
for somebody, each with a chance that is a hypergeometric tail. Too many neighbours collude; too few
stay; or those who neither collude nor drop fall apart, for which half a neighbourhood in a row has
to be missing. The bound is the sum of the three over all members. It holds for members who collude
or drop without regard to the order of the ring, and says nothing of a server that chooses it.

    >>> choose_degree(10, dropout=1 / 3, corrupt=1 / 10)
    Degree(neighbours=9, threshold=6)
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom


@dataclass(frozen=True, kw_only=True, slots=True)
class Degree:
    """Two settings of a `Group`."""

    neighbours: int
    threshold: int


def choose_degree(n: int, *, dropout: float, corrupt: float, failure: float = 2.0**-40) -> Degree:
    """Return the least number of neighbours, and the highest threshold with it.

    Args:
        n: members of the round.
        dropout: the largest share of them that may drop out, [0, 1).
        corrupt: the largest share of them that may collude with the server, [0, 1).
        failure: bound on the chance that privacy or the round fails, (0, 1).

    Returns:
        Fewer neighbours than n - 1 only if the bound holds for them; with everybody as neighbours
        nothing is left to chance.

    Raises:
        ValueError: if an argument is out of range, or if members who stay are too few to outnumber
            those who collude.

    Source: Bell et al. 2020, section 3 (eprint 2020/704).
    """
    if n < 2 or not 0 <= dropout < 1 or not 0 <= corrupt < 1 or not 0 < failure < 1:
        raise ValueError(
            "Expected n >= 2, dropout and corrupt in [0, 1) and failure in (0, 1), got "
            f"n={n}, dropout={dropout}, corrupt={corrupt}, failure={failure}."
        )
    dropped, bad = (math.ceil(n * share - 1e-9) for share in (dropout, corrupt))
    for neighbours in range(2, n - 1, 2):
        highest = _highest_threshold(n, neighbours, dropped, bad, failure)
        if highest is not None:
            return Degree(neighbours=neighbours, threshold=highest)
    return _everybody(n, dropped, bad)


def _highest_threshold(
    n: int, neighbours: int, dropped: int, bad: int, failure: float
) -> int | None:
    """Return the highest threshold that keeps the bound, or None."""
    half = neighbours // 2
    apart = float(hypergeom.sf(half - 1, n, min(n, dropped + bad), half))
    thresholds = np.arange(2, neighbours + 2)
    # The middle of a neighbourhood is one that dropped, which needs the others to stay, and one
    # that is honest, who is not among those who collude.
    thin = hypergeom.cdf(thresholds - 1, n - 1, min(n - dropped, n - 1), neighbours)
    taken = hypergeom.sf(thresholds - 1, n - 1, bad, neighbours)
    kept = thresholds[n * (apart + thin + taken) <= failure]
    return int(kept[-1]) if len(kept) else None


def _everybody(n: int, dropped: int, bad: int) -> Degree:
    threshold = n - dropped
    if threshold < 2 or threshold <= bad:
        raise ValueError(
            f"Expected at least two to stay and more than collude, got {threshold} of {n} who stay "
            f"and {bad} who collude. Ask more members, or allow for fewer who drop out."
        )
    return Degree(neighbours=n - 1, threshold=threshold)
