"""How attribution is judged: closed forms, slow counts, and placebos; and the plain baselines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from discreet.attribution import (
    Change,
    Update,
    judge,
    loss_drop_scores,
    norm_scores,
    random_scores,
    spectrum_scores,
)


def truths(draw: np.random.Generator, count: int) -> np.ndarray:
    found = np.zeros((count, 4))
    for row in found:
        chosen = draw.choice(4, 2, replace=False)
        row[chosen] = draw.dirichlet([2, 2])
    return found


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_the_numbers_are_those_of_slow_counts(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    truth, scores = truths(draw, count), draw.integers(-2, 4, size=(count, 4)).astype(float)
    found = judge(scores, truth)
    level = scores - scores.mean(1, keepdims=True)
    pairs = [(a, b) for a in level[truth > 0] for b in level[truth == 0]]
    assert found.auc.value == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in pairs]))
    orders = [
        0.0 if s.std() == 0 else spearmanr(s, t)[0] for s, t in zip(scores, truth, strict=True)
    ]
    assert found.spearman is not None
    assert found.spearman.value == pytest.approx(np.mean(orders))
    shares = [s / s.sum() if s.sum() else np.full(4, 0.25) for s in np.maximum(scores, 0)]
    assert found.error.value == pytest.approx(np.abs(np.array(shares) - truth).mean())
    assert found.uniform == pytest.approx(np.abs(0.25 - truth).mean())
    assert found.gain.value == pytest.approx(found.uniform - found.error.value)
    assert found.suspects == count


def test_a_planted_effect_is_found_and_its_placebo_is_not() -> None:
    draw = np.random.default_rng(0)
    truth = truths(draw, 60)
    found = judge(truth + draw.normal(0, 0.1, truth.shape), truth)
    assert found.auc.low > 0.9
    assert found.gain.low > 0
    assert found.placebo.value == pytest.approx(0.5, abs=0.02)
    assert found.placebo.low < 0.5 < found.placebo.high < found.auc.low


def test_intervals_hold_a_coin_and_a_known_area_as_often_as_they_say() -> None:
    """200 trials of 40 suspects, 0.95 expected: below 0.89 is four deviations.

    The area of scores of two Gaussians, less each row's mean, is that of 1,500 suspects.
    """
    draw = np.random.default_rng(1)

    def scores(truth: np.ndarray, distance: float) -> np.ndarray:
        return distance * (truth > 0) + draw.normal(size=truth.shape)

    large = truths(draw, 1500)
    for distance in (0.0, 1.0):
        area = 0.5 if not distance else judge(scores(large, distance), large).auc.value
        inside, beyond = [], []
        for _ in range(200):
            truth = truths(draw, 40)
            found = judge(scores(truth, distance), truth)
            inside.append(found.auc.low <= area <= found.auc.high)
            beyond.append(found.auc.value > found.placebo.high)
        assert np.mean(inside) >= 0.89
        assert (np.mean(beyond) > 0.9) if distance else (np.mean(beyond) <= 0.08)


def test_equal_scores_are_no_knowledge() -> None:
    truth = truths(np.random.default_rng(0), 5)
    found = judge(np.ones((5, 4)), truth)
    assert (found.auc.value, found.auc.low, found.auc.high) == (0.5, 0.5, 0.5)
    assert found.error.value == pytest.approx(found.uniform)
    assert judge(-np.ones((5, 4)), truth).error.value == pytest.approx(found.uniform)


def test_what_cannot_be_judged_is_refused() -> None:
    truth = truths(np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match="finite"):
        judge(np.full((5, 4), np.nan), truth)
    with pytest.raises(ValueError, match="two suspects"):
        judge(truth[:1], truth[:1])
    with pytest.raises(ValueError, match="sum to 1"):
        judge(truth, truth * 2)
    with pytest.raises(ValueError, match="some that were not"):
        judge(truth, np.full((5, 4), 0.25))


def test_the_spectrum_sees_sizes_and_no_directions() -> None:
    draw = np.random.default_rng(0)

    def with_values(*values: float) -> Update:
        turn, other = (np.linalg.qr(draw.normal(size=(6, 6)))[0] for _ in range(2))
        return Update(
            changes={"w": Change(left=turn[:, : len(values)] * values @ other[: len(values)])}
        )

    candidates = {"small": [with_values(1, 0.5)], "large": [with_values(4, 2), with_values(6, 2)]}
    found = spectrum_scores(with_values(5, 2), candidates, rank=4)
    assert found == pytest.approx({"small": -(4 + 1.5) / 4, "large": 0}, abs=1e-9)


def test_norm_and_coin_know_nothing_of_candidates() -> None:
    update = Update(changes={"w": Change(left=np.full((2, 2), 2.0))})
    assert norm_scores(update, ["a", "b"]) == {"a": 4.0, "b": 4.0}
    draw = np.random.default_rng(0)
    truth = truths(draw, 300)
    scores = [[*random_scores("abcd", draw).values()] for _ in truth]
    found = judge(np.array(scores), truth)
    assert found.auc.low < 0.5 < found.auc.high


def test_losses_that_are_no_losses_are_refused() -> None:
    assert loss_drop_scores(np.array([2.0]), np.array([3.0])).tolist() == [-0.5]
    for before, after in (([0.0], [1.0]), ([1.0], [np.nan]), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="finite losses"):
            loss_drop_scores(np.array(before), np.array(after))
