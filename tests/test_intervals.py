from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.intervals import share_interval


def binomial_tail(successes: int, trials: int, chance: float) -> float:
    """Chance of that many successes or more, summed term by term."""
    return sum(
        comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(successes, trials + 1)
    )


@given(st.integers(1, 60), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_at_each_end_the_tail_is_half_of_what_may_be_missed(
    trials: int, data: st.DataObject, confidence: float
) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = share_interval(successes, trials, confidence=confidence)
    assert 0 <= low <= successes / trials <= high <= 1
    tail = (1 - confidence) / 2
    if successes:
        assert binomial_tail(successes, trials, low) == pytest.approx(tail, rel=1e-6)
    if successes < trials:
        assert 1 - binomial_tail(successes + 1, trials, high) == pytest.approx(tail, rel=1e-6)


@pytest.mark.parametrize("chance", [0.01, 0.2, 0.5])
def test_it_misses_no_more_often_than_it_says(chance: float) -> None:
    """By the whole distribution, not by drawing from it."""
    trials, missed = 40, 0.0
    for k in range(trials + 1):
        low, high = share_interval(k, trials)
        if not low <= chance <= high:
            missed += comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
    assert missed <= 0.05


def test_nothing_in_n_has_the_closed_form() -> None:
    for trials in (1, 10, 300):
        low, high = share_interval(0, trials)
        assert low == 0
        assert high == pytest.approx(1 - 0.025 ** (1 / trials))
        assert share_interval(trials, trials) == pytest.approx((1 - high, 1.0))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 4), (5, 4)])
def test_numbers_that_do_not_fit_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="Expected 0 <= successes <= trials"):
        share_interval(successes, trials)


def test_a_confidence_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="0 < confidence < 1"):
        share_interval(1, 4, confidence=1.0)
