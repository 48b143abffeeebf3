import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from discreet.bounds import (
    Errors,
    count_errors,
    epsilon_of_mu,
    gaussian_pairs_bound,
    lowest_mu,
    pairs_bound,
)


def errors_of(first: int, second: int, plays: int) -> Errors:
    return Errors(false_positives=first, negatives=plays, false_negatives=second, positives=plays)


def test_without_an_error_it_is_a_closed_form() -> None:
    """No error in n has a chance of (1 - rate) ** n; half of 5 % is for each rate."""
    rate = 1 - 0.025 ** (1 / 500)
    found = pairs_bound(errors_of(0, 0, 500), delta=1e-3)
    assert found.epsilon == pytest.approx(math.log((1 - 1e-3 - rate) / rate), abs=1e-9)
    assert found.is_certificate
    assert lowest_mu(errors_of(0, 0, 500)) == pytest.approx(-2 * norm.ppf(rate), abs=1e-9)


def test_both_directions_are_tried() -> None:
    few, many = errors_of(1, 60, 100), errors_of(60, 1, 100)
    assert pairs_bound(few, delta=0.0).epsilon == pairs_bound(many, delta=0.0).epsilon > 1


def test_guessing_shows_nothing_and_guessing_wrong_neither() -> None:
    for errors in (errors_of(50, 50, 100), errors_of(100, 100, 100)):
        assert pairs_bound(errors, delta=1e-5).epsilon == 0.0
        assert gaussian_pairs_bound(errors, delta=1e-5).epsilon == 0.0


@pytest.mark.parametrize("plays", [30, 60])
def test_randomised_response_is_overstated_in_at_most_five_of_a_hundred(plays: int) -> None:
    """All pairs of numbers of errors are gone through, so that the level is no matter of chance."""
    epsilon = 1.0
    wrong = binom.pmf(np.arange(plays + 1), plays, 1 / (1 + math.exp(epsilon)))
    alarm = sum(
        wrong[a] * wrong[b]
        for a in range(plays + 1)
        for b in range(plays + 1)
        if wrong[a] * wrong[b] > 1e-9
        and pairs_bound(errors_of(a, b, plays), delta=0.0).epsilon > epsilon
    )
    assert 0.002 < alarm <= 0.05


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_a_gaussian_mechanism_is_overstated_in_at_most_five_of_a_hundred(mu: float) -> None:
    plays = 40
    wrong = binom.pmf(np.arange(plays + 1), plays, norm.cdf(-mu / 2))
    alarm = sum(
        wrong[a] * wrong[b]
        for a in range(plays + 1)
        for b in range(plays + 1)
        if wrong[a] * wrong[b] > 1e-9 and lowest_mu(errors_of(a, b, plays)) > mu
    )
    assert alarm <= 0.05


def test_the_bound_comes_close_to_mu_with_many_plays() -> None:
    draw = np.random.default_rng(0)
    included = draw.random(100_000) < 0.5
    errors = count_errors(included + draw.normal(size=100_000), included, threshold=0.5)
    assert 0.95 < lowest_mu(errors) < 1.0
    found = gaussian_pairs_bound(errors, delta=1e-5)
    assert found.epsilon == epsilon_of_mu(lowest_mu(errors), 1e-5)
    assert found.assumes is not None


def test_errors_are_counted() -> None:
    included = np.array([True, True, False, False, False])
    scores = np.array([1.0, 0.5, 0.6, 0.1, 0.2])
    assert count_errors(scores, included, threshold=0.5) == Errors(
        false_positives=1, negatives=3, false_negatives=1, positives=2
    )


def test_plays_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 of each"):
        count_errors(np.zeros(5), np.ones(5, dtype=bool), threshold=0.5)
    with pytest.raises(ValueError, match="finite"):
        count_errors(np.array([np.nan, 1.0]), np.array([True, False]), threshold=0.5)


def test_mu_takes_each_rate_of_error_for_itself() -> None:
    errors = errors_of(1, 60, 100)
    ends = [binom_end(1, 100), binom_end(60, 100)]
    assert lowest_mu(errors) == pytest.approx(norm.isf(ends[0]) + norm.isf(ends[1]), abs=1e-6)


def binom_end(wrong: int, plays: int) -> float:
    """Return the rate at which so few errors have a chance of 2.5 %, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.cdf(wrong, plays, middle) > 0.025 else (low, middle)
    return low
