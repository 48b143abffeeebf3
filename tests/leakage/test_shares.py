"""The interval of a share over people holds the truth, also where nearly nothing is found."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.intervals import share_interval
from discreet.leakage.shares import person_interval, person_means

Floats = npt.NDArray[np.float64]
RUNS = 400


def drawn(people: int, shots: int, share: float, likeness: float, seed: int) -> Floats:
    """Return each person's share of successes; `likeness` 0: trials are independent; 1: the same.

    A person's own chance is beta distributed, of which `likeness` is the correlation of two trials.
    """
    draw = np.random.default_rng(seed)
    if likeness == 1:
        return (draw.uniform(size=people) < share).astype(np.float64)
    own = np.full(people, share)
    if likeness > 0:
        size = 1 / likeness - 1
        own = draw.beta(share * size, (1 - share) * size, size=people)
    return draw.binomial(shots, own) / shots


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5, 0.9])
@pytest.mark.parametrize("likeness", [0.0, 0.3, 1.0])
def test_it_holds_the_truth_as_often_as_it_says(share: float, likeness: float) -> None:
    """Of 400 draws 367 or fewer have chance 0.004 at 95 %; so for a case in 20 if all are exact.

    An interval for a discrete number of finds is wider than it says, so that none is near it.
    """
    held = 0
    for seed in range(RUNS):
        low, high = person_interval(drawn(60, 6, share, likeness, seed), trials=360)
        held += low <= share <= high
    assert held > 367


def test_one_trial_a_person_is_the_exact_interval() -> None:
    for found in (0, 1, 7, 20):
        shares = np.r_[np.ones(found), np.zeros(20 - found)]
        low, high = person_interval(shares, trials=20)
        exact = share_interval(found, 20)
        # the variance of a sample divides by 19, and few people are worth no more than themselves
        assert low == pytest.approx(exact[0], abs=0.01)
        assert high == pytest.approx(exact[1], abs=0.01)


def test_independent_trials_are_worth_more_than_repeated_ones() -> None:
    free = person_interval(drawn(200, 6, 0.3, 0.0, 0), trials=1200)
    same = person_interval(drawn(200, 6, 0.3, 1.0, 0), trials=1200)
    assert same[1] - same[0] > 2 * (free[1] - free[0])
    assert free[1] - free[0] < 1.3 * np.diff(share_interval(360, 1200))[0]


def test_nothing_found_is_not_an_interval_of_nothing() -> None:
    assert person_interval(np.zeros(30), trials=300) == share_interval(0, 30)
    assert person_interval(np.ones(30), trials=300) == share_interval(30, 30)


@given(
    shares=st.lists(st.integers(0, 4), min_size=2, max_size=30),
    confidence=st.floats(0.5, 0.99),
)
def test_the_mean_is_inside(shares: list[int], confidence: float) -> None:
    values = np.array(shares) / 4
    low, high = person_interval(values, trials=4 * len(values), confidence=confidence)
    assert 0 <= low <= values.mean() <= high <= 1


def test_each_person_counts_the_same() -> None:
    means, place = person_means(np.array([1.0, 0, 0, 0]), np.array(["b", "a", "b", "b"]))
    assert means == pytest.approx([0, 1 / 3])
    assert place.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("shares", "trials", "said"),
    [
        (np.ones(1), 5, "two people"),
        (np.ones(3), 2, "a trial of each"),
        (np.array([0.5, np.nan]), 4, "from 0 to 1"),
        (np.array([0.5, 1.5]), 4, "from 0 to 1"),
    ],
)
def test_what_has_no_interval_is_refused(shares: Floats, trials: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        person_interval(shares, trials=trials)
