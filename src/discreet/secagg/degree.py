"""How many neighbours a member needs, and how many of them have to stay.

Bell et al. 2020 (eprint 2020/704), section 3: members stand on a ring in random order, and what may
go wrong for somebody has a chance that is a hypergeometric tail. Too few of a neighbourhood stay;
so many of it collude that the others could be asked, half for one secret of a member and half for
the other; or colluders hide from the member at the end of an arc that those beside it are missing,
so that the arc's sum could be opened alone. The bound is the sum of the three over all members. It
holds for members who collude or drop without regard to the order of the ring, and says nothing of
a server that chooses it.

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
        nothing is left to chance. Two requests for shares, of which no member answers both, do not
        give both secrets of anybody: 2 * threshold > neighbours + 1 + colluders, those of the
        neighbourhood. And no two sums can be opened by one story of who stayed: on a ring,
        threshold > neighbours / 2 + 1 + colluders, those of one side.

    Raises:
        ValueError: if an argument is out of range, or if too few members stay for the first.

    Source: Bell et al. 2020, section 3, and section 5 for a server that does not follow the
    protocol (eprint 2020/704); with everybody as neighbours Bonawitz et al. 2017, section 6
    (eprint 2017/281). The second condition is for this ring: whoever stands at the end of an arc
    sees the half of its neighbourhood that is on the arc, itself, and the colluders of the rest.
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
    half, staying = neighbours // 2, min(n - dropped, n - 1)
    # The middle of a neighbourhood is one that dropped, which needs the others to stay, and one
    # that is honest, who is not among those who collude.
    if n * hypergeom.cdf(half + 1, n - 1, staying, neighbours) > failure:
        return None
    thresholds = np.arange(half + 2, neighbours + 2)
    thin = hypergeom.cdf(thresholds - 1, n - 1, staying, neighbours)
    both = hypergeom.sf(2 * thresholds - neighbours - 2, n - 1, bad, neighbours)
    hidden = hypergeom.sf(thresholds - half - 2, n - 1, bad, half)
    kept = thresholds[n * (thin + both + hidden) <= failure]
    return int(kept[-1]) if len(kept) else None


def _everybody(n: int, dropped: int, bad: int) -> Degree:
    threshold = n - dropped
    if threshold < 2 or 2 * threshold <= n + bad:
        raise ValueError(
            f"Expected at least two to stay, and more than half of the {n} members and {bad} who "
            f"collude together, got {threshold}. Else a server could open two sums: allow for "
            "fewer who drop out (more min_replies), or ask fewer owners."
        )
    return Degree(neighbours=n - 1, threshold=threshold)
