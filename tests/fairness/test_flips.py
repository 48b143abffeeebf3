import numpy as np
import pytest
from scipy.stats import binom

from discreet.fairness import measure_flips


def test_it_is_an_exact_sign_test_over_people() -> None:
    first = [True] * 9 + [False] + [True] * 10
    second = [False] * 9 + [True] + [True] * 10
    found = measure_flips(first, second, list(range(20)))
    assert (found.share, found.lost, found.gained) == (0.5, 9, 1)
    assert found.p_one_way == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    assert found.low < 0.5 < found.high


def test_pairs_of_one_person_are_one_trial() -> None:
    first, second = [True] * 12, [False] * 12
    apart = measure_flips(first, second, list(range(12)))
    together = measure_flips(first, second, [place // 4 for place in range(12)])
    assert apart.p_one_way == pytest.approx(2 / 2**12)
    assert together.p_one_way == pytest.approx(2 / 2**3)


def test_answers_that_never_flip_say_nothing() -> None:
    found = measure_flips([True, False, True], [True, False, True], list("abc"))
    assert (found.share, found.low, found.high, found.p_one_way) == (0, 0, 0, 1)


def test_unsteady_answers_are_rarely_called_unfair_and_unfair_ones_are_found() -> None:
    draw = np.random.default_rng(3)
    unsteady = unfair = 0
    for _ in range(400):
        flips = draw.random(60) < 0.5
        first = draw.random(60) < 0.5
        steady = measure_flips(list(first), list(first ^ flips), list(range(60)))
        unsteady += steady.p_one_way < 0.05
        worse = first & (draw.random(60) > 0.4)
        unfair += measure_flips(list(first), list(worse), list(range(60))).p_one_way < 0.05
    assert unsteady / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert unfair / 400 > 0.95


def test_the_interval_holds_the_share_of_people_who_are_alike_within() -> None:
    draw, covered = np.random.default_rng(5), 0
    people = np.repeat(np.arange(60), 3).tolist()
    for _ in range(300):
        chance = np.repeat(draw.beta(2, 3, size=60), 3)  # 0.4 in the mean
        found = measure_flips([False] * 180, list(draw.random(180) < chance), people)
        covered += found.low <= 0.4 <= found.high
    assert covered / 300 > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 300)


def test_two_outcomes_of_each_pair_are_needed() -> None:
    with pytest.raises(ValueError, match="two outcomes of each pair, got 2 and 1"):
        measure_flips([True, False], [True], ["a", "b"])
