import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from discreet.bounds import (
    epsilon_of_mu,
    gaussian_curve,
    mu_of_epsilon,
    pairs_curve,
    sampled_gaussian_family,
)
from discreet.bounds.curves import delta_of_mu, largest_refuted
from discreet.privacy import Event, epsilon_of

CHANCES = np.linspace(0.001, 0.999, 199)


@pytest.mark.parametrize(("mu", "epsilon"), [(0.5, 0.3), (1.0, 0.0), (2.0, 3.0), (4.0, 10.0)])
def test_delta_of_a_gaussian_is_the_area_between_two_densities(mu: float, epsilon: float) -> None:
    area, _ = quad(
        lambda x: max(0.0, norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x)),
        -12,
        mu + 12,
        points=[epsilon / mu + mu / 2],
        limit=200,
    )
    assert delta_of_mu(mu, epsilon) == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize(("noise", "steps"), [(1.0, 1), (8.0, 100), (1.0, 10)])
def test_epsilon_of_a_gaussian_is_that_of_the_accountant(noise: float, steps: int) -> None:
    stated = epsilon_of([Event(noise_multiplier=noise, sample_rate=1.0, steps=steps)], 1e-4, "pld")
    assert epsilon_of_mu(math.sqrt(steps) / noise, 1e-4) == pytest.approx(stated, abs=2e-3)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 30.0), st.floats(1e-9, 0.1))
def test_mu_and_epsilon_lead_to_each_other(epsilon: float, delta: float) -> None:
    assert epsilon_of_mu(mu_of_epsilon(epsilon, delta), delta) == pytest.approx(epsilon, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.0, 5.0), st.floats(0.01, 0.99))
def test_a_gaussian_curve_is_symmetric(mu: float, chance: float) -> None:
    """Without and with may be exchanged: the curve is its own inverse about the diagonal."""
    curve = gaussian_curve(mu)
    assert curve(1 - curve(chance)) == pytest.approx(1 - chance, abs=1e-6)
    assert curve(chance) <= chance


def test_a_curve_of_pairs_is_that_of_randomised_response() -> None:
    """It says the truth with chance e / (1 + e), and nothing that is (1, 0)-private tells more."""
    truth = math.e / (1 + math.e)
    curve = pairs_curve([1.0], [0.0])
    assert curve(truth) == pytest.approx(1 - truth)
    assert curve(0.0) == 0.0
    assert curve(1.0) == 1.0


def test_a_curve_of_pairs_gives_delta_away_and_no_more() -> None:
    curve = pairs_curve([0.0], [0.1])
    assert curve(0.1) == 0.0
    assert curve(0.6) == pytest.approx(0.5)


def test_the_curve_of_a_sampled_mechanism_is_just_below_the_gaussian_one_at_rate_1() -> None:
    held = sampled_gaussian_family(1.0, 4).curve(1 / 2.0)
    true = gaussian_curve(math.sqrt(4) / 2.0)
    gaps = [true(chance) - held(chance) for chance in CHANCES]
    assert min(gaps) > -1e-9, "it claims more than the mechanism has"
    assert max(gaps) < 0.03


def test_sampling_lifts_the_curve() -> None:
    sampled, full = sampled_gaussian_family(0.1, 20).curve(1.0), gaussian_curve(math.sqrt(20))
    assert all(sampled(chance) > full(chance) for chance in (0.2, 0.5, 0.8))


def test_beyond_the_accountant_nothing_is_claimed() -> None:
    assert sampled_gaussian_family(1.0, 1000).curve(20.0)(0.9) == 0.0


def test_the_largest_refuted_parameter_is_found() -> None:
    assert largest_refuted(lambda one: one < 11.3, 1e-6) == pytest.approx(11.3, abs=1e-6)
    assert largest_refuted(lambda one: one < 0.3, 1e-6) == pytest.approx(0.3, abs=1e-6)
    assert largest_refuted(lambda one: False, 1e-6) == 0.0


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, math.nan])
def test_a_delta_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="0 < delta < 1"):
        epsilon_of_mu(1.0, delta)
    with pytest.raises(ValueError, match="0 < delta < 1"):
        mu_of_epsilon(1.0, delta)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite mu"):
        epsilon_of_mu(math.inf, 1e-5)
    with pytest.raises(ValueError, match="finite epsilon"):
        mu_of_epsilon(math.inf, 1e-5)
