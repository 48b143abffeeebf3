import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm

from discreet.bounds import (
    SCORES_NEEDED,
    CanaryOwners,
    epsilon_of_gaussians,
    epsilon_of_mu,
    f_dp_bound,
    owner_estimate,
)
from discreet.bounds.owners import hockey_stick


@pytest.mark.parametrize("mean", [0.0, 0.7, -2.0])
@pytest.mark.parametrize("width", [0.6, 0.99, 1.5])
@pytest.mark.parametrize("epsilon", [0.0, 0.4, 2.0])
def test_the_hockey_stick_is_the_area_between_two_densities(
    mean: float, width: float, epsilon: float
) -> None:
    at = np.linspace(-15, 15, 300_001)
    gap = norm.pdf(at, mean, width) - math.exp(epsilon) * norm.pdf(at)
    area = np.maximum(gap, 0).sum() * (at[1] - at[0])
    assert hockey_stick(mean, width, epsilon) == pytest.approx(area, abs=1e-6)


def test_with_one_width_it_is_the_gaussian_mechanism() -> None:
    exact = epsilon_of_mu(1.5, 1e-5)
    assert epsilon_of_gaussians(1.5, 1.0, 1e-5) == exact
    assert epsilon_of_gaussians(-1.5, 1.0 + 1e-7, 1e-5) == pytest.approx(exact, abs=1e-4)


def test_it_is_the_larger_of_both_ways() -> None:
    found = epsilon_of_gaussians(1.0, 1.4, 1e-3)
    assert found == pytest.approx(epsilon_of_gaussians(-1 / 1.4, 1 / 1.4, 1e-3), abs=1e-7)
    area, _ = quad(
        lambda x: max(0.0, norm.pdf(x, 1, 1.4) - math.exp(found) * norm.pdf(x)), 2, 15, limit=200
    )
    below, _ = quad(
        lambda x: max(0.0, norm.pdf(x, 1, 1.4) - math.exp(found) * norm.pdf(x)), -15, -2, limit=200
    )
    assert area + below == pytest.approx(1e-3, rel=1e-3)


def test_a_direction_that_nobody_used_has_a_gaussian_cosine() -> None:
    canaries = CanaryOwners(count=300, size=2000, max_grad_norm=1.0, seed=0)
    released = np.random.default_rng(1).normal(size=2000)
    scaled = canaries.cosines(released) * math.sqrt(2000)
    assert kstest(scaled, norm.cdf).pvalue > 1e-3
    assert owner_estimate(scaled / math.sqrt(2000), size=2000, delta=1e-5).epsilon_low == 0.0


def test_canaries_come_again_from_their_seed() -> None:
    one, other = (CanaryOwners(count=3, size=1000, max_grad_norm=0.2, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.update_of(2), other.update_of(2))
    assert np.linalg.norm(one.update_of(1)) == pytest.approx(0.2)
    assert not np.array_equal(one.update_of(0), one.update_of(1))
    many = CanaryOwners(count=2000, size=1000, max_grad_norm=0.2, seed=5).included
    assert abs(many.mean() - 0.5) < 0.05


def test_the_interval_holds_the_truth_in_95_of_a_hundred() -> None:
    draw, runs, missed, size = np.random.default_rng(2), 200, 0, 10_000
    truth = epsilon_of_mu(1.5, 1e-5)
    for _ in range(runs):
        cosines = draw.normal(1.5, 1, 100) / math.sqrt(size)
        found = owner_estimate(cosines, size=size, delta=1e-5)
        missed += not found.epsilon_low <= truth <= found.epsilon_high
    assert 1 <= missed <= 26, "10 of 200, and some of the 10 whose width seems another one"


def test_planted_owners_are_found_in_a_noisy_sum() -> None:
    """60 owners of norm 1 in 20,000 numbers with noise 0.8: mu is 1 / 0.8."""
    canaries = CanaryOwners(count=60, size=20_000, max_grad_norm=1.0, seed=3)
    released = np.random.default_rng(4).normal(0, 0.8, 20_000)
    for place in range(60):
        released += canaries.update_of(place)
    found = owner_estimate(canaries.cosines(released), size=20_000, delta=1e-5)
    assert found.epsilon_low < epsilon_of_mu(1 / 0.8, 1e-5) < found.epsilon_high
    assert found.epsilon_low > 2
    assert not found.is_certificate
    np.testing.assert_allclose(canaries.project(released).mean(), 1.0, atol=4 * 0.8 / math.sqrt(60))


def test_with_coins_the_same_canaries_serve_a_bound() -> None:
    canaries = CanaryOwners(count=300, size=20_000, max_grad_norm=1.0, seed=6)
    released = np.random.default_rng(7).normal(0, 0.5, 20_000)
    for place in np.flatnonzero(canaries.included):
        released += canaries.update_of(int(place))
    found = f_dp_bound(canaries.project(released), canaries.included, delta=1e-4)
    assert 2 < found.epsilon < epsilon_of_mu(1 / 0.5, 1e-4)


def test_a_width_that_differs_counts() -> None:
    draw = np.random.default_rng(8)
    wide = draw.normal(0, 2, 500) / 100
    assert owner_estimate(wide, size=10_000, delta=1e-5).epsilon_low > 5


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1000"):
        CanaryOwners(count=3, size=100, max_grad_norm=1.0, seed=0)
    canaries = CanaryOwners(count=3, size=1000, max_grad_norm=1.0, seed=0)
    for released in (np.zeros(1000), np.full(1000, np.nan), np.ones(999)):
        with pytest.raises(ValueError, match="other than zero"):
            canaries.cosines(released)
    with pytest.raises(ValueError, match=f"at least {SCORES_NEEDED}"):
        owner_estimate(np.zeros(5), size=1000, delta=1e-5)
    with pytest.raises(ValueError, match="no noise"):
        epsilon_of_gaussians(1.0, 0.0, 1e-5)
