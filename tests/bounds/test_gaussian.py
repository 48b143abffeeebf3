import numpy as np
import pytest

from discreet.bounds import SCORES_NEEDED, epsilon_of_mu, gaussian_estimate


@pytest.mark.parametrize(("mu", "count"), [(1.0, 20), (3.0, 200)])
def test_the_interval_holds_the_truth_in_95_of_a_hundred(mu: float, count: int) -> None:
    draw, runs, missed = np.random.default_rng(0), 300, 0
    truth = epsilon_of_mu(mu, 1e-5)
    for _ in range(runs):
        found = gaussian_estimate(
            draw.normal(mu, 2, count) / 2 + mu / 2, draw.normal(0, 1, count), delta=1e-5
        )
        missed += not found.epsilon_low <= truth <= found.epsilon_high
    assert 4 <= missed <= 29, "15 of 300; outside lies a chance of 1e-3"


def test_nothing_is_found_where_nothing_is() -> None:
    draw = np.random.default_rng(1)
    found = gaussian_estimate(draw.normal(size=300), draw.normal(size=300), delta=1e-5)
    assert found.epsilon_low == 0.0
    assert found.epsilon < 0.5


def test_it_does_not_hang_on_unit_or_origin_of_scores() -> None:
    draw = np.random.default_rng(2)
    first, second = draw.normal(1, 1, 100), draw.normal(0, 1, 100)
    one = gaussian_estimate(first, second, delta=1e-5)
    other = gaussian_estimate(7 * first + 3, 7 * second + 3, delta=1e-5)
    assert other.epsilon == pytest.approx(one.epsilon, rel=1e-9)
    assert other.epsilon_high == pytest.approx(one.epsilon_high, rel=1e-6)


def test_far_apart_scores_have_an_interval_too() -> None:
    draw = np.random.default_rng(3)
    found = gaussian_estimate(draw.normal(6, 1, 500), draw.normal(0, 1, 500), delta=1e-5)
    assert found.epsilon_low < epsilon_of_mu(6.0, 1e-5) < found.epsilon_high


def test_it_is_no_certificate() -> None:
    draw = np.random.default_rng(4)
    found = gaussian_estimate(draw.normal(size=30), draw.normal(size=30), delta=1e-5)
    assert not found.is_certificate
    assert "Gaussian" in found.assumes


def test_too_few_or_broken_scores_are_refused() -> None:
    fine = np.arange(20.0)
    with pytest.raises(ValueError, match=f"at least {SCORES_NEEDED}"):
        gaussian_estimate(fine[: SCORES_NEEDED - 1], fine, delta=1e-5)
    with pytest.raises(ValueError, match="finite"):
        gaussian_estimate(fine, np.append(fine, np.nan), delta=1e-5)
    with pytest.raises(ValueError, match="no noise"):
        gaussian_estimate(np.ones(20), np.zeros(20), delta=1e-5)


def test_samples_of_unequal_size_have_the_width_of_large_samples() -> None:
    """The variance of the distance is 1 / n + 1 / k + distance**2 / (2 (n + k))."""
    first, second = (
        np.random.default_rng(5).normal(size=60),
        np.random.default_rng(6).normal(size=4000),
    )
    first = (first - first.mean()) / first.std() + 2.0
    second = (second - second.mean()) / second.std()
    found = gaussian_estimate(first, second, delta=1e-5)
    reach = 1.96 * np.sqrt(1 / 60 + 1 / 4000 + 4 / (2 * 4060))
    assert found.epsilon_low == pytest.approx(epsilon_of_mu(2 - reach, 1e-5), rel=0.01)
    assert found.epsilon_high == pytest.approx(epsilon_of_mu(2 + reach, 1e-5), rel=0.01)
