import numpy as np
import pytest
from scipy.stats import norm

from discreet.bounds import draw_canaries, likelihood_scores, summed_scores


def area(scores: np.ndarray, included: np.ndarray) -> float:
    return float((scores[included][:, None] > scores[~included]).mean())


@pytest.mark.parametrize("dense", [False, True])
def test_canaries_are_orthogonal_and_as_long_as_the_norm(dense: bool) -> None:
    canaries = draw_canaries(6, 20, max_grad_norm=0.7, draw=np.random.default_rng(0), dense=dense)
    rows = np.stack([canaries.gradient_of(place) for place in range(6)])
    np.testing.assert_allclose(rows @ rows.T, 0.49 * np.eye(6), atol=1e-12)
    chosen = np.array([True, False, True, True, False, False])
    np.testing.assert_allclose(canaries.sum_of(chosen), rows[chosen].sum(0), atol=1e-12)


@pytest.mark.parametrize("dense", [False, True])
def test_what_a_sum_shows_is_one_for_who_is_there_and_noise_in_units_of_the_plan(
    dense: bool,
) -> None:
    draw = np.random.default_rng(1)
    canaries = draw_canaries(300, 900, max_grad_norm=0.5, draw=draw, dense=dense)
    np.testing.assert_allclose(
        canaries.project(canaries.sum_of(canaries.included)[None])[0],
        canaries.included,
        atol=1e-12,
    )
    noise = 2.0 * 0.5 * draw.normal(size=(20, 900))
    assert canaries.project(noise).std() == pytest.approx(2.0, rel=0.05)


def test_dense_directions_are_uniform() -> None:
    """The first coordinate of a uniform direction has mean 0 and variance 1 / size."""
    first = np.array(
        [
            draw_canaries(
                1, 5, max_grad_norm=1.0, draw=np.random.default_rng(seed), dense=True
            ).gradient_of(0)[0]
            for seed in range(400)
        ]
    )
    assert abs(first.mean()) < 4 * np.sqrt(1 / 5 / 400)
    assert first.var() == pytest.approx(1 / 5, rel=0.25)


def test_coins_and_places_follow_from_the_generator() -> None:
    one, other = (
        draw_canaries(50, 80, max_grad_norm=1.0, draw=np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(one.included, other.included)
    assert one.coordinates is not None
    assert other.coordinates is not None
    np.testing.assert_array_equal(one.coordinates, other.coordinates)
    assert len(set(one.coordinates.tolist())) == 50


def test_likelihood_is_that_of_the_densities() -> None:
    shown = np.random.default_rng(2).normal(size=(4, 3))
    noise, rate = 1.3, 0.2
    without = norm.pdf(shown, 0, noise)
    mixed = rate * norm.pdf(shown, 1, noise) + (1 - rate) * without
    np.testing.assert_allclose(
        likelihood_scores(shown, noise_multiplier=noise, sample_rate=rate),
        np.log(mixed / without).sum(0),
    )


def test_with_everything_in_each_step_likelihood_orders_as_the_sum_does() -> None:
    shown = np.random.default_rng(3).normal(size=(10, 200))
    likely = likelihood_scores(shown, noise_multiplier=0.8)
    np.testing.assert_array_equal(np.argsort(likely), np.argsort(summed_scores(shown)))


def test_on_samples_likelihood_tells_more() -> None:
    draw, steps, rate, noise = np.random.default_rng(4), 200, 0.03, 0.4
    included = draw.random(2000) < 0.5
    taken = (draw.random((steps, 2000)) < rate) & included
    shown = taken + noise * draw.normal(size=(steps, 2000))
    summed = area(summed_scores(shown), included)
    likely = area(likelihood_scores(shown, noise_multiplier=noise, sample_rate=rate), included)
    assert likely > summed + 0.02
    assert summed > 0.6


def test_what_makes_no_sense_is_refused() -> None:
    draw = np.random.default_rng(5)
    with pytest.raises(ValueError, match="than are orthogonal"):
        draw_canaries(6, 5, max_grad_norm=1.0, draw=draw)
    with pytest.raises(ValueError, match="dense=False"):
        draw_canaries(1000, 1_000_000, max_grad_norm=1.0, draw=draw, dense=True)
    canaries = draw_canaries(3, 5, max_grad_norm=1.0, draw=draw)
    with pytest.raises(ValueError, match=r"\(T, 5\)"):
        canaries.project(np.zeros((2, 6)))
    with pytest.raises(ValueError, match="finite"):
        canaries.project(np.full((2, 5), np.nan))
    with pytest.raises(ValueError, match="sample_rate"):
        likelihood_scores(np.zeros((2, 3)), noise_multiplier=1.0, sample_rate=0.0)
