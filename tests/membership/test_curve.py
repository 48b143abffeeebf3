"""The membership measure: closed forms, a slow count, and how often its interval is right."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.membership import Membership, measure_membership, membership_scores
from discreet.membership.curve import FPR, OTHERS_NEEDED, Numbers, _tail, tpr_at

PHI = NormalDist().cdf


def alone(count: int, kind: str) -> list[str]:
    """As many people as examples."""
    return [f"{kind}-{number}" for number in range(count)]


def measure(members: Numbers, others: Numbers) -> Membership:
    return measure_membership(members, others, alone(len(members), "m"), alone(len(others), "o"))


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0])
def test_two_known_gaussians_have_the_area_and_the_tail_of_the_closed_form(distance: float) -> None:
    """AUC = Phi(d / sqrt 2), TPR at f = Phi(d - z(1 - f)); 20,000 draws each: 4 deviations."""
    draw = np.random.default_rng(1)
    members, others = draw.normal(distance, 1, 20_000), draw.normal(0, 1, 20_000)
    found = measure_membership(
        members, others, [f"m{i % 200}" for i in range(20_000)], [i % 200 for i in range(20_000)]
    )
    assert found.auc == pytest.approx(PHI(distance / 2**0.5), abs=0.01)
    assert found.low < PHI(distance / 2**0.5) < found.high
    assert found.tpr == pytest.approx(PHI(distance - NormalDist().inv_cdf(1 - FPR)), abs=0.02)


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=12),
    st.lists(st.integers(0, 5), min_size=2, max_size=12),
)
def test_the_area_is_that_of_a_loop_over_pairs(members: list[int], others: list[int]) -> None:
    won = sum((m > o) + (m == o) / 2 for m in members for o in others)
    found = measure(np.array(members, float), np.array(others, float))
    assert found.auc == pytest.approx(won / (len(members) * len(others)))
    assert found.low <= found.high


@given(st.integers(100, 400), st.integers(0, 9))
def test_no_more_than_the_rate_of_others_passes(count: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    others = draw.integers(0, 30, count).astype(float)
    grid = np.arange(-1, 31) + 0.0
    allowed = [t for t in grid if (others > t).mean() <= FPR]
    members = draw.integers(0, 40, 50).astype(float)
    assert tpr_at(members, others) == pytest.approx((members > min(allowed)).mean())


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """20 people of 4 examples a side, who share half of the variance: 300 runs, truth Phi(0.5).

    With coverage 0.90 or more, fewer than 255 of 300 hits have a chance below 0.004.
    """
    draw, truth, hits, naive = np.random.default_rng(2), PHI(0.5), 0, 0
    for _ in range(300):
        shared = [draw.normal(0, 0.5**0.5, (2, 20, 1)), draw.normal(0, 0.5**0.5, (2, 20, 4))]
        scores = (shared[0] + shared[1]).reshape(2, 80)
        people = [number // 4 for number in range(80)]
        members = scores[0] + 0.5**0.5
        found = measure_membership(members, scores[1], [f"m{p}" for p in people], people)
        hits += found.low < truth < found.high
        one_by_one = measure(members, scores[1])
        naive += one_by_one.low < truth < one_by_one.high
    assert hits >= 255
    assert naive < 255, "an interval that takes a person's examples for independent is too short"


def test_the_strongest_of_several_attacks_that_know_nothing_is_seldom_called_a_finding() -> None:
    """Five attacks of independent noise, 150 times: 2.5 % at most of the strongest lie above 0.5.

    Of 150 with a chance of 0.025, more than 11 have a chance below 1e-3.
    """
    draw, people = np.random.default_rng(5), (alone(24, "m"), alone(24, "o"))
    together = apart = 0
    for _ in range(150):
        scores = draw.normal(size=(5, 2, 24))
        together += any(measure_membership(*one, *people, attacks=5).low > 0.5 for one in scores)
        apart += any(measure_membership(*one, *people).low > 0.5 for one in scores)
    assert together <= 11
    assert apart > 11, "without the correction somebody would be accused by chance"


@pytest.mark.parametrize("count", [100, 150, 199, 1000])
def test_one_that_remembers_nothing_finds_about_once_what_chance_does(count: int) -> None:
    draw = np.random.default_rng(6)
    drawn = (draw.normal(size=(2, count)) for _ in range(300))
    times = [_tail(*one, FPR, (count, count), 0.05).times_chance for one in drawn]
    assert np.mean([one for one in times if one is not None]) == pytest.approx(1.0, abs=0.25)


def test_a_tail_needs_enough_others() -> None:
    few, enough = np.arange(OTHERS_NEEDED - 1.0), np.arange(OTHERS_NEEDED + 0.0)
    assert measure(few + 0.5, few).tpr is None
    assert measure(enough + 1.5, enough).tpr == pytest.approx(0.03)


def test_a_reference_takes_out_how_hard_examples_are() -> None:
    draw = np.random.default_rng(3)
    hardness = draw.normal(5, 3, (2, 200))
    members = membership_scores(hardness[0], hardness[0] - 0.1)
    others = membership_scores(hardness[1], hardness[1])
    assert measure(members, others).auc == pytest.approx(1.0)
    assert measure(-(hardness[0] - 0.1), -hardness[1]).is_chance


@pytest.mark.parametrize(
    ("members", "others", "people", "said"),
    [
        ([1.0, 2.0], [1.0, 2.0], (["a", "b"], ["b", "c"]), "got somebody in both"),
        ([1.0, 2.0], [1.0, 2.0], (["a", "a"], ["b", "c"]), "two people or more, got 1"),
        ([1.0, float("nan")], [1.0, 2.0], (["a", "b"], ["c", "d"]), "a finite score"),
        ([1.0, 2.0], [1.0], (["a", "b"], ["c", "d"]), "got 1 scores and 2 people"),
    ],
)
def test_what_has_no_area_is_refused(
    members: list[float], others: list[float], people: tuple[list[str], list[str]], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        measure_membership(np.array(members), np.array(others), *people)
