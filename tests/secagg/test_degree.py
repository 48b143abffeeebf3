"""The bound against every ring of a few members, against draws, and against itself."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from discreet.secagg import Degree, Group, choose_degree
from discreet.secagg.degree import _highest_threshold

ALARM = 1e-6
Ring = tuple[int, ...]


def is_bad(ring: Ring, degree: Degree, dropped: set[int], corrupt: set[int]) -> bool:
    """Tell by looking whether somebody's privacy, or the sum, is lost on a ring."""
    n, half = len(ring), (degree.neighbours + 1) // 2
    steps = [s for s in range(-half, half + 1) if s]
    near = {ring[k]: {ring[(k + s) % n] for s in steps} for k in range(n)}
    honest = set(ring) - corrupt
    seats = degree.neighbours + 1
    both = any(2 * degree.threshold <= seats + len(near[i] & corrupt) for i in honest)
    ahead = {ring[k]: {ring[(k + s) % n] for s in range(1, half + 1)} for k in range(n)}
    hidden = seats < n and any(
        degree.threshold <= half + 1 + len(ahead[i] & corrupt) for i in honest
    )
    thin = any(len((near[i] | {i}) - dropped) < degree.threshold for i in ring)
    left, reached, todo = honest - dropped, set[int](), list(honest - dropped)[:1]
    while todo:
        if (member := todo.pop()) not in reached:
            reached.add(member)
            todo += near[member] & left
    return both or hidden or thin or reached != left


@pytest.mark.parametrize("failure", [0.9, 0.5, 0.2])
@pytest.mark.parametrize(("dropout", "corrupt"), [(1 / 8, 1 / 8), (0, 1 / 4), (1 / 4, 0)])
def test_the_chance_over_all_rings_is_below_the_bound(
    dropout: float, corrupt: float, failure: float
) -> None:
    n = 8
    dropped, bad = round(n * dropout), round(n * corrupt)
    degree = choose_degree(n, dropout=dropout, corrupt=corrupt, failure=failure)
    rings = [(0, *rest) for rest in permutations(range(1, n))]
    worse = sum(
        is_bad(ring, degree, set(range(dropped)), set(range(dropped, dropped + bad)))
        for ring in rings
    )
    assert worse / len(rings) <= failure


def test_the_chance_over_rings_of_groups_is_below_the_bound() -> None:
    """A hundred members on rings as `Group` lays them out."""
    n, failure, rounds = 100, 0.05, 400
    degree = choose_degree(n, dropout=0.2, corrupt=0.1, failure=failure)
    assert degree.neighbours < n - 1
    worse = 0
    for number in range(rounds):
        settings = {"neighbours": degree.neighbours, "threshold": degree.threshold, "size": 1}
        group = Group(ids=tuple(range(n)), round_id=b"%d" % number, **settings)
        worse += is_bad(group._ring, degree, set(range(20)), set(range(20, 30)))
    assert binomtest(worse, rounds, failure, alternative="greater").pvalue > ALARM


@pytest.mark.parametrize(("n", "half"), [(9, 1), (9, 2), (12, 3)])
def test_the_three_tails_are_counts_of_neighbourhoods(n: int, half: int) -> None:
    """The hypergeometric tails, as counts over all places of who is bad."""
    neighbours, dropped, bad = 2 * half, 2, 1

    def chance(threshold: int) -> float:
        def share(good: int, drawn: int, wanted: range) -> float:
            total = math.comb(n - 1, drawn)
            return sum(math.comb(good, k) * math.comb(n - 1 - good, drawn - k) for k in wanted) / (
                total
            )

        thin = share(n - dropped, neighbours, range(threshold))
        both = share(bad, neighbours, range(2 * threshold - neighbours - 1, neighbours + 1))
        hidden = share(bad, half, range(threshold - half - 1, half + 1))
        return n * (thin + both + hidden)

    chances = {t: chance(t) for t in range(half + 2, neighbours + 2)}
    for failure in np.linspace(0.01, 2 * n, 300):
        kept = [t for t, value in chances.items() if value <= failure]
        assert _highest_threshold(n, neighbours, dropped, bad, failure) == (
            max(kept) if kept else None
        )


def test_a_ring_has_fewer_neighbours_than_everybody_once_there_are_many() -> None:
    degrees = {n: choose_degree(n, dropout=0.1, corrupt=0.01) for n in (10, 100, 1000, 10_000)}
    assert choose_degree(10, dropout=1 / 3, corrupt=1 / 10) == Degree(neighbours=9, threshold=6)
    assert degrees[100] == Degree(neighbours=24, threshold=15)
    assert degrees[1000] == Degree(neighbours=96, threshold=60)
    assert degrees[10_000].neighbours < degrees[1000].neighbours + 60, "grows with log n"


@given(st.integers(3, 200), st.floats(0, 0.6), st.floats(0, 0.3))
@settings(deadline=None)
def test_every_degree_leaves_one_sum_only(n: int, dropout: float, corrupt: float) -> None:
    """Whoever may collude, counted where the members are everybody's neighbours."""
    try:
        degree = choose_degree(n, dropout=dropout, corrupt=corrupt)
    except ValueError:
        assert 2 * (n - math.ceil(n * dropout - 1e-9)) <= n + math.ceil(n * corrupt - 1e-9)
        return
    if degree.neighbours < n - 1:
        assert degree.threshold > degree.neighbours // 2 + 1
    else:
        assert 2 * degree.threshold > n + math.ceil(n * corrupt - 1e-9)


@pytest.mark.parametrize("n", [2, 3, 5, 20, 60])
def test_where_nothing_may_be_left_to_chance_every_dropout_is_borne(n: int) -> None:
    dropped = math.floor(n / 4)
    degree = choose_degree(n, dropout=dropped / n, corrupt=0, failure=1e-300)
    assert degree.threshold == degree.neighbours + 1 - dropped


@pytest.mark.parametrize(
    ("n", "dropout", "corrupt", "words"),
    [
        (1, 0.1, 0.1, "n >= 2"),
        (10, 1.0, 0.1, "in \\[0, 1\\)"),
        (10, 0.1, -0.1, "in \\[0, 1\\)"),
        (10, 0.5, 0.0, "open two sums"),
        (10, 0.4, 0.2, "more than half of the 10 members and 2 who"),
        (2, 0.5, 0.0, "at least two"),
    ],
)
def test_shares_that_no_group_bears_are_refused(
    n: int, dropout: float, corrupt: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        choose_degree(n, dropout=dropout, corrupt=corrupt)
