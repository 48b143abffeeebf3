import numpy as np
import pytest
from scipy.stats import ttest_1samp

from discreet.fairness import compare_pairs

DRAW = np.random.default_rng(7)


def test_it_is_two_one_sided_t_tests_of_means_of_people() -> None:
    own = DRAW.normal(0.1, 1, size=(40, 3)) + DRAW.normal(0, 1, size=(40, 1))
    people = [person for person in range(40) for _ in range(3)]
    found = compare_pairs(own.ravel(), people, margin=0.7)
    means = own.mean(1)
    above = ttest_1samp(means, -0.7, alternative="greater").pvalue
    below = ttest_1samp(means, 0.7, alternative="less").pvalue
    either = ttest_1samp(means, 0)
    assert found.p_equivalent == pytest.approx(max(above, below))
    assert found.p_different == pytest.approx(either.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(either.confidence_interval(0.95)))
    assert (found.people, found.pairs) == (40, 120)


def test_what_differs_by_the_margin_is_rarely_called_alike() -> None:
    alike = different = covered = 0
    for _ in range(2000):
        people = DRAW.normal(0.5, 1, size=20)
        pairs = np.repeat(people, 4) + DRAW.normal(0, 0.3, size=80)
        found = compare_pairs(pairs, np.repeat(np.arange(20), 4).tolist(), margin=0.5)
        alike += found.is_equivalent
        covered += found.low <= 0.5 <= found.high
        pairs -= 0.5
        different += (
            compare_pairs(pairs, np.repeat(np.arange(20), 4).tolist(), margin=9).p_different < 0.05
        )
    slack = 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert alike / 2000 < 0.05 + slack
    assert different / 2000 < 0.05 + slack
    assert 0.95 - slack < covered / 2000 < 0.95 + slack


@pytest.mark.parametrize(
    ("mean", "spread", "says"),
    [
        (0.0, 0.1, "alike"),
        (0.2, 0.1, "different, but by less than the margin"),
        (2.0, 0.1, "different"),
        (0.0, 30.0, "undecided: ask more people"),
    ],
)
def test_the_verdict_tells_unlike_from_unknown(mean: float, spread: float, says: str) -> None:
    values = mean + spread * np.array([-1.0, 1.0] * 10)
    assert compare_pairs(values, list(range(20)), margin=0.5).in_words == says


def test_pairs_that_never_differ_are_alike() -> None:
    found = compare_pairs(np.zeros(5), list("abcde"), margin=0.1)
    assert (found.difference, found.p_equivalent, found.p_different) == (0, 0, 1)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("inf"), float("nan")])
def test_a_margin_has_to_be_chosen(margin: float) -> None:
    with pytest.raises(ValueError, match="margin above 0"):
        compare_pairs(np.ones(3), list("abc"), margin=margin)


@pytest.mark.parametrize(
    ("values", "people"),
    [([1.0, 2.0], "ab"), ([1.0, 2.0, 3.0], "aab"), ([1.0, 2.0, np.nan], "abc"), ([1.0], "abc")],
)
def test_too_few_people_are_refused(values: list[float], people: str) -> None:
    with pytest.raises(ValueError, match="3 people or more"):
        compare_pairs(np.array(values), list(people), margin=1.0)
