"""Moments and tests of the privacy loss against quadrature, closed forms and Opacus."""

import doctest
import math
from collections.abc import Callable

import numpy as np
import pytest
from opacus.accountants.analysis.rdp import compute_rdp
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import binom, norm

from discreet.privacy import Event, cross_check, privacy_loss
from discreet.privacy.privacy_loss import Mechanism, distribution_of, renyi_of

ORDERS = (1.1, 1.5, 2.0, 5.0, 20.0, 63.0)


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(privacy_loss).failed == 0


@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.032), (0.5, 0.1), (4.0, 0.3), (0.7, 1.0)])
def test_moments_of_one_contribution_are_those_of_opacus(noise: float, rate: float) -> None:
    theirs = compute_rdp(q=rate, noise_multiplier=noise, steps=1, orders=ORDERS)
    np.testing.assert_allclose(renyi_of(Mechanism(noise, rate, 1), ORDERS), theirs, rtol=1e-6)


@pytest.mark.parametrize(("noise", "rate", "contributions"), [(1.0, 0.1, 3), (2.0, 0.3, 8)])
@pytest.mark.parametrize("order", [1.5, 4.0])
def test_moments_of_several_contributions_are_the_larger_integral(
    noise: float, rate: float, contributions: int, order: float
) -> None:
    moved = np.arange(contributions + 1)
    chances = binom.pmf(moved, contributions, rate)

    def present(x: float) -> float:
        return float(logsumexp(norm.logpdf(x, moved, noise), b=chances))

    def absent(x: float) -> float:
        return float(norm.logpdf(x, 0, noise))

    def moment(p: Callable[[float], float], q: Callable[[float], float]) -> float:
        value, _ = quad(lambda x: math.exp(order * p(x) + (1 - order) * q(x)), -40, 60, limit=200)
        return math.log(value) / (order - 1)

    ours = renyi_of(Mechanism(noise, rate, contributions), (order,))[0]
    assert ours == pytest.approx(max(moment(present, absent), moment(absent, present)), rel=1e-6)


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.2, 0.9])
def test_the_best_test_of_a_gaussian_is_the_closed_form(noise: float, fpr: float) -> None:
    """Dong, Roth, Su 2022 (arXiv:1905.02383): Phi(Phi^-1(fpr) + 1 / noise)."""
    found = distribution_of({Mechanism(noise, 1.0, 1): 1}).best_tpr(fpr)
    exact = norm.cdf(norm.ppf(fpr) + 1 / noise)
    assert exact - 1e-9 <= found <= exact + 1e-4


@pytest.mark.parametrize("steps", [4, 100])
def test_composed_gaussians_are_one_gaussian(steps: int) -> None:
    together = distribution_of({Mechanism(3.0, 1.0, 1): steps, Mechanism(2.0, 1.0, 1): 1})
    noise = (steps / 9 + 1 / 4) ** -0.5
    assert together.best_tpr(0.01) == pytest.approx(norm.cdf(norm.ppf(0.01) + 1 / noise), abs=1e-4)


@pytest.mark.parametrize(("noise", "rate", "most"), [(0.5, 0.1, 1), (1.0, 0.5, 1), (1.0, 0.2, 4)])
def test_the_best_test_of_one_sampled_step_is_that_of_neyman_and_pearson(
    noise: float, rate: float, most: int
) -> None:
    """The likelihood ratio rises with x, so that the best tests are thresholds."""
    moved = np.arange(most + 1)
    chances = binom.pmf(moved, most, rate)

    def above(threshold: float) -> float:
        return float(chances @ norm.sf(threshold, moved, noise))

    presence = above(norm.isf(0.01, 0, noise))
    threshold = brentq(lambda x: 1 - above(x) - 0.01, -50, 50)
    absence = norm.cdf(threshold, 0, noise)
    found = distribution_of({Mechanism(noise, rate, most): 1}).best_tpr(0.01)
    exact = max(presence, absence)
    assert exact - 1e-9 <= found <= exact + 2e-3


@pytest.mark.parametrize("steps", [100, 10_000, 1_000_000])
def test_delta_is_no_less_than_that_of_the_composed_gaussian_down_to_rounding(steps: int) -> None:
    """A rate just below 1 goes the way of sampled steps, by Fourier transforms."""
    noise = steps**0.5
    found = distribution_of({Mechanism(noise, 1 - 1e-12, 1): steps})
    for epsilon in (1.0, 3.0, 5.0, 7.0, 9.0):
        exact = norm.cdf(0.5 - epsilon) - np.exp(epsilon) * norm.cdf(-0.5 - epsilon)
        assert found.delta_at(epsilon) >= exact * (1 - 1e-6)
    with pytest.raises(ValueError, match="too near to rounding"):
        found.epsilon_at(1e-16)


def test_very_many_steps_that_lose_very_little_get_a_finer_grid() -> None:
    """On dp-accounting's grid epsilon would be a sixth above the Renyi bound."""
    tiny = Mechanism(5.0, 2.5e-4, 1)
    assert privacy_loss._interval({tiny: 100_000}) == 1e-4
    assert privacy_loss._interval({tiny: 1_000_000}) < 2e-5
    events = [Event(noise_multiplier=5.0, sample_rate=2.5e-4, steps=1_000_000)]
    found = cross_check(events, 1e-5)
    assert found.pld < found.rdp
