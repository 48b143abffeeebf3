"""Two pictures of a person are told from two of others at a rate of false matches that is kept."""

import numpy as np
import pytest

from discreet.leakage import verify
from discreet.leakage.reidentification import is_first_of_person, score_people
from discreet.leakage.verification import MatchRate, _Comparisons, people_needed
from tests.leakage.test_reidentification import Floats, Numbers, planted


def compared(x: Floats, who: Numbers, fprs: tuple[float, ...] = (0.05,)) -> tuple[MatchRate, ...]:
    first = is_first_of_person(who)
    return verify(x[first], who[first], x[~first], who[~first], fprs=fprs)


def by_brute_force(x: Floats, who: Numbers, fpr: float) -> float:
    """Return the height of the ROC polygon at a rate, from all its corners."""
    first = is_first_of_person(who)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    scores = (unit[~first] @ unit[first].T).round(7)
    own = who[~first][:, None] == who[first]
    corners = [(0.0, 0.0)]
    for threshold in np.unique(scores)[::-1]:
        passed = scores >= threshold
        corners.append((float(passed[~own].mean()), float(passed[own].mean())))
    return float(np.interp(fpr, *zip(*corners, strict=True)))


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("signal", [0.0, 0.7, 2.0])
def test_it_is_the_height_of_the_curve(fpr: float, signal: float) -> None:
    x, who = planted(30, signal, 3)
    (rate,) = compared(x, who, (fpr,))
    assert rate.tpr == pytest.approx(by_brute_force(x, who, fpr), abs=1e-6)


@pytest.mark.parametrize("fpr", [0.01, 0.05, 0.3])
def test_bits_that_tie_are_on_the_curve_too(fpr: float) -> None:
    x, who = planted(30, 1.0, 4, width=6)
    (rate,) = compared(np.sign(x), who, (fpr,))
    assert rate.tpr == pytest.approx(by_brute_force(np.sign(x), who, fpr), abs=1e-6)


def test_what_tells_nothing_passes_as_often_as_others() -> None:
    who = np.repeat(np.arange(30), 3)
    for rate in compared(np.ones((90, 2)), who, (0.01, 0.2)):
        assert rate.tpr == pytest.approx(rate.fpr)


def test_planted_people_are_told_and_shuffled_ones_are_not() -> None:
    x, who = planted(60, 3.0, 0)
    for rate in compared(x, who, (0.01, 0.001)):
        assert rate.tpr is not None
        assert rate.low is not None
        assert rate.tpr > 0.8
        assert rate.low > 0.6
    for rate in compared(x, np.random.default_rng(1).permutation(who), (0.01, 0.001)):
        assert rate.low is not None
        assert rate.high is not None
        assert rate.low <= rate.fpr <= rate.high


def test_intervals_hold_the_truth() -> None:
    """The truth is the mean over draws of 200 people. Of 40 draws 7 or more misses have chance
    0.003 at 1 in 20."""
    truth = np.mean([compared(*planted(200, 0.8, 900 + seed))[0].tpr for seed in range(4)])
    assert 0.3 < truth < 0.9
    missed = 0
    for seed in range(40):
        (rate,) = compared(*planted(40, 0.8, seed))
        assert rate.low is not None
        assert rate.high is not None
        missed += not rate.low <= truth <= rate.high
    assert missed < 7


@pytest.mark.parametrize("fpr", [0.03, 0.3])
def test_people_who_are_not_drawn_have_no_part(fpr: float) -> None:
    """A bootstrap that draws each of 20 of 30 people once sees what there is without them."""
    x, who = planted(30, 0.8, 0)
    first = is_first_of_person(who)
    _, scores = score_people(x[first], who[first], x[~first])
    own = who[~first]
    inside = own < 20
    times = (np.arange(30) < 20).astype(np.float64)
    drawn = _Comparisons.of(scores, own).passing(fpr, times)[inside]
    alone = _Comparisons.of(scores[inside][:, :20], own[inside]).passing(fpr, np.ones(20))
    assert drawn == pytest.approx(alone)
    assert 0 < alone.mean() < 1


def test_too_few_people_for_a_rate_are_told_how_many_it_needs() -> None:
    common, rare = compared(*planted(20, 2.0, 0), fprs=(0.01, 0.001))
    assert (common.needed, rare.needed) == (15, 46)
    assert common.tpr is not None
    assert (rare.tpr, rare.low, rare.high) == (None, None, None)
    for fpr in (0.1, 0.01, 0.003):
        people = people_needed(fpr)
        assert people * (people - 1) / 2 >= 1 / fpr > (people - 1) * (people - 2) / 2


def test_few_of_many_comparisons_are_looked_at_and_the_rate_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from discreet.leakage import verification

    x, who = planted(60, 0.8, 0)
    whole = compared(x, who, (0.01, 0.02))
    monkeypatch.setattr(verification, "_FEW", 100)
    assert compared(x, who, (0.01, 0.02)) == whole


def test_a_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        compared(*planted(20, 1.0, 0), fprs=(1.0,))
