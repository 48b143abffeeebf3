import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import norm

from discreet.bounds import (
    Choice,
    Guesses,
    epsilon_of_mu,
    f_dp_bound,
    f_dp_epsilon,
    gaussian_curve,
    is_curve_refuted,
    mu_of_epsilon,
    one_run_p_value,
    pairs_curve,
    sampled_gaussian_family,
)


def likeliest_tail(guesses: Guesses, epsilon: float, delta: float) -> float:
    """Return the largest chance of `correct` or more right guesses, over all distributions of the
    number that the curve allows: a linear program in the chance of each number."""
    total, canaries = guesses.guesses, guesses.canaries
    numbers = np.arange(total + 1)
    rows, limits = [], []
    for i in range(1, total + 1):
        right = np.where(numbers >= i, numbers, 0) / canaries
        wrong = np.where(numbers >= i - 1, total - numbers, 0) / canaries
        grow = math.exp(epsilon)  # wrong >= slope * right + level, for both lines of the curve
        for slope, level in ((grow, 1 - delta - grow), (1 / grow, -delta / grow)):
            rows.append(slope * right - wrong)
            limits.append(-level)
    found = linprog(
        -(numbers >= guesses.correct).astype(float),
        A_ub=np.array(rows),
        b_ub=np.array(limits),
        A_eq=np.ones((1, total + 1)),
        b_eq=[1.0],
    )
    assert found.success
    return float(-found.fun)


@pytest.mark.parametrize("guesses", [Guesses(canaries=10, guesses=10, correct=8)])
@pytest.mark.parametrize(("epsilon", "delta"), [(0.5, 0.0), (1.0, 0.02), (0.2, 0.1)])
def test_the_recursion_finds_what_a_linear_program_finds(
    guesses: Guesses, epsilon: float, delta: float
) -> None:
    tail, curve = likeliest_tail(guesses, epsilon, delta), pairs_curve([epsilon], [delta])
    assert 0.01 < tail < 0.99
    assert not is_curve_refuted(guesses, curve, confidence=1 - (tail - 1e-6))
    assert is_curve_refuted(guesses, curve, confidence=1 - (tail + 1e-6))


@settings(deadline=None, max_examples=40)
@given(st.data(), st.floats(0.1, 2.0), st.floats(0.0, 0.05))
def test_so_it_does_with_abstentions(data: st.DataObject, epsilon: float, delta: float) -> None:
    canaries = data.draw(st.integers(4, 16))
    total = data.draw(st.integers(2, canaries))
    guesses = Guesses(
        canaries=canaries, guesses=total, correct=data.draw(st.integers(total // 2 + 1, total))
    )
    tail, curve = likeliest_tail(guesses, epsilon, delta), pairs_curve([epsilon], [delta])
    if 1e-4 < tail < 1 - 1e-4:
        assert not is_curve_refuted(guesses, curve, confidence=1 - (tail - 1e-5))
        assert is_curve_refuted(guesses, curve, confidence=1 - (tail + 1e-5))


def corners(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the corners of the largest convex curve below points, as JAX-Privacy's thresholds."""
    kept: list[tuple[int, int]] = []
    for x, y in points:
        while len(kept) > 1 and (kept[-1][0] - kept[-2][0]) * (y - kept[-2][1]) >= (
            kept[-1][1] - kept[-2][1]
        ) * (x - kept[-2][0]):
            kept.pop()
        kept.append((x, y))
    return kept


@pytest.mark.parametrize(
    ("shift", "by_counts", "by_curve"),
    [(1, 1.13346, 2.164749), (2, 2.311945, 4.7218075), (4, 4.395568, 9.133752)],
)
def test_published_numbers_of_jax_privacy_come_out(
    shift: int, by_counts: float, by_curve: float
) -> None:
    """Its test `test_epsilon_one_run_close`: 10,000 quantiles of N(0, 1), as many of N(shift, 1),
    delta = 1e-6, every corner of the ROC curve tried with Bonferroni's correction."""
    size, delta = 10_000, 1e-6
    without = norm.ppf((np.arange(size) + 0.5) / size)
    levels = np.append(np.union1d(without, without + shift), np.inf)
    below = (np.searchsorted(without + shift, levels), np.searchsorted(without, levels))
    tried = corners([(int(a), int(b)) for a, b in zip(*below, strict=True)])
    found = [
        Guesses(canaries=2 * size, guesses=2 * size - a - b, correct=size - a)
        for a, b in tried
        if a + b < 2 * size
    ]
    level = 0.05 / len(tried)
    for epsilon, is_below in ((by_counts - 1e-4, True), (by_counts + 1e-4, False)):
        least = min(one_run_p_value(one, epsilon=epsilon, delta=delta) for one in found)
        assert (least <= level) == is_below
    for epsilon, is_below in ((by_curve - 1e-4, True), (by_curve + 1e-4, False)):
        curve = gaussian_curve(mu_of_epsilon(epsilon, delta))
        refuted = any(is_curve_refuted(one, curve, confidence=1 - level) for one in found)
        assert refuted == is_below


def test_a_gaussian_mechanism_is_overstated_in_at_most_five_of_a_hundred() -> None:
    draw, mu, alarms = np.random.default_rng(0), 1.0, 0
    stated = epsilon_of_mu(mu, 1e-4)
    for _ in range(200):
        included = draw.random(200) < 0.5
        scores = mu * included + draw.normal(size=200)
        choices = [Choice(guess_in=50, guess_out=50), Choice(guess_in=100, guess_out=100)]
        alarms += f_dp_bound(scores, included, delta=1e-4, choices=choices).epsilon > stated
    assert alarms <= 22  # of 200 at 5 %: more has a chance below 1e-3


def test_it_shows_more_than_counts_do_and_names_what_it_assumes() -> None:
    """Row `client level, q = 1, sigma 8, 100 steps` of the power table: 2.17 shown of 4.97."""
    draw, mu = np.random.default_rng(1), 10 / 8
    included = draw.random(400) < 0.5
    found = f_dp_bound(mu * included + draw.normal(size=400), included, delta=1e-4)
    assert 1.2 < found.epsilon < epsilon_of_mu(mu, 1e-4)
    assert not found.is_certificate
    assert found.assumes == "the trade-off curve of a Gaussian mechanism"


def test_nothing_is_found_where_nothing_is() -> None:
    draw = np.random.default_rng(3)
    included = draw.random(400) < 0.5
    assert f_dp_bound(draw.normal(size=400), included, delta=1e-4).epsilon == 0.0


def test_the_family_of_a_sampled_mechanism_gives_a_bound_on_its_noise() -> None:
    family = sampled_gaussian_family(0.1, 30)
    guesses = Guesses(canaries=1000, guesses=100, correct=85)
    found = f_dp_epsilon(guesses, delta=1e-5, family=family)
    gaussian = f_dp_epsilon(guesses, delta=1e-5)
    assert found > 0
    assert found == pytest.approx(gaussian, rel=0.6), "both explain the same guesses"


@settings(deadline=None, max_examples=25)
@given(st.integers(20, 100), st.data())
def test_it_is_monotone(total: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(total // 2, total - 1))
    one = Guesses(canaries=200, guesses=total, correct=correct)
    more = Guesses(canaries=200, guesses=total, correct=correct + 1)
    found = f_dp_epsilon(one, delta=1e-5)
    assert f_dp_epsilon(more, delta=1e-5) >= found
    assert f_dp_epsilon(one, delta=1e-4) <= found
    assert f_dp_epsilon(one, delta=1e-5, confidence=0.99) <= found


def test_a_delta_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="0 < delta < 1"):
        f_dp_epsilon(Guesses(canaries=10, guesses=10, correct=9), delta=0.0)
