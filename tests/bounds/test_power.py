"""How much of a true epsilon each number shows, on a simulated mechanism of which it is known."""

import numpy as np
import pytest

from discreet.bounds import (
    f_dp_bound,
    gaussian_estimate,
    likelihood_scores,
    one_run_bound,
    summed_scores,
)
from discreet.privacy import Event, epsilon_of

DELTA, CANARIES = 1e-4, 400


def played(
    noise_multiplier: float, sample_rate: float, steps: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    included = draw.random(CANARIES) < 0.5
    taken = (draw.random((steps, CANARIES)) < sample_rate) & included
    return taken + noise_multiplier * draw.normal(size=taken.shape), included


@pytest.mark.parametrize(
    ("noise_multiplier", "sample_rate", "steps", "true", "shown"),
    [
        (1.0, 0.032, 310, 3.05, 0.47),
        (0.7, 0.032, 310, 7.05, 0.89),
        (0.5, 0.032, 310, 17.8, 1.85),
        (8.0, 1.0, 100, 4.97, 2.17),
        (1.0, 1.0, 10, 16.1, 4.30),
    ],
)
def test_the_bound_by_curves_shows_what_jax_privacy_showed(
    noise_multiplier: float, sample_rate: float, steps: int, true: float, shown: float
) -> None:
    """`shown` is the mean of three runs of JAX-Privacy's auditor, which tries other thresholds."""
    event = Event(noise_multiplier=noise_multiplier, sample_rate=sample_rate, steps=steps)
    assert epsilon_of([event], DELTA, "pld") == pytest.approx(true, rel=5e-3)
    found = []
    for seed in range(3):
        seen, included = played(noise_multiplier, sample_rate, steps, seed)
        found.append(f_dp_bound(summed_scores(seen), included, delta=DELTA).epsilon)
    assert 0.6 * shown < np.mean(found) < 1.6 * shown
    assert max(found) < true


def test_the_three_numbers_stand_in_their_order() -> None:
    seen, included = played(8.0, 1.0, 100, 0)
    scores = summed_scores(seen)
    by_counts = one_run_bound(scores, included, delta=DELTA).epsilon
    by_curve = f_dp_bound(scores, included, delta=DELTA).epsilon
    estimate = gaussian_estimate(scores[included], scores[~included], delta=DELTA)
    assert 0.5 < by_counts < by_curve < estimate.epsilon
    assert estimate.epsilon_low < 4.97 < estimate.epsilon_high


def test_likelihood_shows_more_of_a_sampled_mechanism_than_sums_do() -> None:
    by_sum, by_likelihood = [], []
    for seed in range(3):
        seen, included = played(0.7, 0.032, 310, seed)
        likely = likelihood_scores(seen, noise_multiplier=0.7, sample_rate=0.032)
        by_sum.append(one_run_bound(summed_scores(seen), included, delta=DELTA).epsilon)
        by_likelihood.append(one_run_bound(likely, included, delta=DELTA).epsilon)
    assert np.mean(by_likelihood) > 1.3 * np.mean(by_sum)
    assert max(by_likelihood) < 7.05
