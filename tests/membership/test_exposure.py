"""Exposure of secrets: counting, the closed form of chance, and the fit beyond the sample."""

from math import log, log2

import numpy as np
import pytest
from scipy.stats import norm

from discreet.membership import (
    SECRETS_NEEDED,
    chance_of_exposures,
    compare_exposures,
    exposure_of,
    extrapolated_exposure,
)

COUNT = 255


def random_exposures(count: int, *, shift: float = 0.0, seed: int = 0) -> list[float]:
    """Exposures of secrets whose scores are of the law of their alternatives, or `shift` higher."""
    draw = np.random.default_rng(seed)
    return [exposure_of(draw.normal() + shift, draw.normal(size=COUNT)) for _ in range(count)]


def test_it_is_the_logarithm_of_all_less_that_of_the_rank() -> None:
    alternatives = np.arange(7.0)
    assert exposure_of(10.0, alternatives) == 3.0
    assert exposure_of(-1.0, alternatives) == 0.0
    assert exposure_of(3.5, alternatives) == pytest.approx(log2(8 / 4))
    assert exposure_of(3.0, alternatives) == pytest.approx(log2(8 / 5)), "a tie counts against it"


def test_chance_gives_one_bit_and_a_half() -> None:
    """The rank is uniform: the mean of -log2(k / n) tends to 1 / ln 2; of 256, 1.4211."""
    exact = np.mean([log2(256 / k) for k in range(1, 257)])
    assert exact == pytest.approx(1 / log(2), abs=0.03)
    found = random_exposures(4000)
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / 4000**0.5)


def test_the_fit_goes_on_where_counting_ends() -> None:
    """A secret at six standard deviations: 29.9 bits by the normal tail, counting sees 12."""
    alternatives = np.random.default_rng(3).normal(size=4095)
    assert exposure_of(6.0, alternatives) == 12.0
    truth = -norm.logsf(6.0) / log(2)
    assert extrapolated_exposure(6.0, alternatives) == pytest.approx(truth, rel=0.15)
    inside = extrapolated_exposure(1.0, alternatives)
    assert inside == pytest.approx(exposure_of(1.0, alternatives), abs=0.1)


def test_planted_secrets_that_are_remembered_are_found_and_others_are_not() -> None:
    found = compare_exposures(
        random_exposures(40, shift=2.0), random_exposures(40, seed=1), alternatives=COUNT
    )
    assert found.low > 0
    assert found.low < found.difference < found.high
    assert found.most == 8.0
    assert found.difference == pytest.approx(found.planted - found.others)


def test_it_cries_wolf_no_more_often_than_its_interval_says() -> None:
    """One end of a 95 % interval misses in 2.5 %; of 300, 18 or more come in 1 of 1,000 runs."""
    alarms = sum(
        compare_exposures(
            random_exposures(25, seed=2 * k), random_exposures(25, seed=2 * k + 1),
            alternatives=COUNT, draws=400,
        ).low > 0
        for k in range(300)
    )  # fmt: skip
    assert alarms < 18


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one alternative or more"):
        exposure_of(0.0, np.array([]))
    with pytest.raises(ValueError, match="finite log-probabilities"):
        exposure_of(np.nan, np.ones(3))
    with pytest.raises(ValueError, match="30 alternatives"):
        extrapolated_exposure(0.0, np.ones(29))
    with pytest.raises(ValueError, match="two secrets or more of each kind"):
        compare_exposures([1.0], [1.0, 2.0], alternatives=3)


@pytest.mark.parametrize("count", [5, 10, 30])
def test_secrets_that_nobody_remembers_look_remembered_in_5_of_a_hundred(count: int) -> None:
    """Two scores, the better told, 300 times: more than 25 have a chance below 1e-2 at 5 %."""
    draw, alarms = np.random.default_rng(count), 0
    for _ in range(300):
        bits = -np.log2(draw.integers(1, 17, size=(2, 2, count)) / 16)
        alarms += chance_of_exposures(bits[0], bits[1], draws=400) < 0.05
    assert alarms <= 25


def test_secrets_that_are_remembered_by_either_score_are_told() -> None:
    draw = np.random.default_rng(0)
    others = -np.log2(draw.integers(1, 17, size=(2, 20)) / 16)
    planted = np.stack([others[0], np.full(20, 4.0)])
    assert chance_of_exposures(planted, others) < 0.01
    with pytest.raises(ValueError, match=f"at least {SECRETS_NEEDED} secrets"):
        chance_of_exposures(planted[:, :3], others)
