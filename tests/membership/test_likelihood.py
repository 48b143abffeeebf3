"""The likelihood-ratio attack on losses whose law is known."""

from statistics import NormalDist

import numpy as np
import pytest

from discreet.membership import likelihood_scores, surprise_scores
from discreet.membership.likelihood import MODELS_FOR_OWN_SPREAD, confidence_of

PHI = NormalDist().cdf
FPR = 0.05


def losses_with(confidence: np.ndarray) -> np.ndarray:
    """Return the losses whose confidences these are: the inverse of log(p / (1 - p))."""
    return np.logaddexp(0, -confidence)


def world(
    models: int, *, examples: int = 4000, shift: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return target losses, losses, flags and truth: normal confidences, each example its own mean.

    Members' confidences lie `shift` standard deviations higher.
    """
    draw = np.random.default_rng(seed)
    hardness = draw.normal(0, 5, examples)
    inside = np.zeros((models, examples), dtype=bool)
    for column in range(examples):
        inside[draw.permutation(models)[: models // 2], column] = True
    truth = np.arange(examples) < examples // 2
    known = hardness + shift * inside + draw.normal(0, 1, (models, examples))
    asked = hardness + shift * truth + draw.normal(0, 1, examples)
    return losses_with(asked), losses_with(known), inside, truth


def tpr_at(scores: np.ndarray, truth: np.ndarray, fpr: float) -> float:
    return float((scores[truth] > np.quantile(scores[~truth], 1 - fpr)).mean())


def test_confidence_is_the_logit_of_the_probability() -> None:
    chance = np.array([0.01, 0.3, 0.5, 0.99])
    np.testing.assert_allclose(confidence_of(-np.log(chance)), np.log(chance / (1 - chance)))
    assert np.isfinite(confidence_of(np.array([0.0, 700.0]))).all()


def test_with_many_models_it_finds_what_the_best_test_finds() -> None:
    """The means are then known: the best test of N(0, 1) against N(2, 1) (Neyman and Pearson)."""
    target, losses, inside, truth = world(128)
    best = PHI(2.0 - NormalDist().inv_cdf(1 - FPR))
    found = tpr_at(likelihood_scores(target, losses, inside), truth, FPR)
    assert found == pytest.approx(best, abs=0.05)
    offline = tpr_at(surprise_scores(target, losses, inside), truth, FPR)
    assert offline == pytest.approx(best, abs=0.06)


def test_with_a_handful_it_beats_a_threshold_on_the_loss() -> None:
    """Examples differ in hardness by more than membership changes: a threshold sees that only."""
    target, losses, inside, truth = world(8)
    plain = tpr_at(-target, truth, FPR)
    for attack in (likelihood_scores, surprise_scores):
        assert tpr_at(attack(target, losses, inside), truth, FPR) > 3 * plain


def test_where_members_are_as_others_it_finds_nothing() -> None:
    """Of 2,000 others and members each, 5 % false alarms: 0.05 give or take 4 standard errors."""
    target, losses, inside, truth = world(16, shift=0.0)
    for attack in (likelihood_scores, surprise_scores):
        assert abs(tpr_at(attack(target, losses, inside), truth, FPR) - FPR) < 0.028


def test_at_one_in_a_hundred_false_alarms_it_is_right_over_twenty_seeds() -> None:
    """Members as others: 1 % of either, and 4 standard errors of 40,000 of each are 0.3 %.

    Members that are shifted: what the best test finds, less a little for means that 32 models leave
    unknown.
    """
    best = PHI(2.0 - NormalDist().inv_cdf(0.99))
    for shift, low, high in ((0.0, 0.007, 0.013), (2.0, 0.7 * best, best + 0.02)):
        worlds = (world(32, shift=shift, seed=seed) for seed in range(20))
        found = [tpr_at(likelihood_scores(*known), truth, 0.01) for *known, truth in worlds]
        assert low < np.mean(found) < high


def test_few_models_share_one_spread_and_many_have_their_own() -> None:
    draw = np.random.default_rng(1)
    spread = np.where(np.arange(200) < 100, 0.1, 3.0)
    for models, is_own in ((8, False), (2 * MODELS_FOR_OWN_SPREAD, True)):
        inside = np.zeros((models, 200), dtype=bool)
        inside[::2] = True
        known = draw.normal(0, spread, (models, 200))
        scores = surprise_scores(losses_with(np.ones(200)), losses_with(known), inside)
        ratio = np.median(scores[:100]) / np.median(scores[100:])
        assert (ratio > 10) == is_own


def test_what_does_not_fit_is_refused() -> None:
    target, losses, inside, _ = world(4, examples=6)
    with pytest.raises(ValueError, match="of one shape"):
        likelihood_scores(target, losses, inside[:2])
    with pytest.raises(ValueError, match="finite losses"):
        likelihood_scores(np.full(6, np.nan), losses, inside)
    with pytest.raises(ValueError, match="always in or always out"):
        likelihood_scores(target, losses, np.zeros_like(inside))
    with pytest.raises(ValueError, match="always in"):
        surprise_scores(target, losses, np.ones_like(inside))
