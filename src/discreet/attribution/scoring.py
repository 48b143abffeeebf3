"""How good an attribution is, where the truth is known: in or out, order, and proportions.

Suspects of known mixtures are the units, and intervals draw whole suspects. A placebo asks the same
of truths that belong to other candidates: what is left there is not knowledge. It says how a method
does on suspects like these, and nothing of others.

>>> truth = np.array([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75], [1.0, 0.0]])
>>> found = judge(0.9 * truth + 0.1, truth)
>>> found.auc.value, round(found.error.value, 3), found.uniform
(1.0, 0.08, 0.4375)
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from discreet.attribution.updates import Numbers

Flags = npt.NDArray[np.bool_]
DRAWS = 1000
PERMUTATIONS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number and its 95 % interval, suspects drawn."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """How well scores tell what suspects were trained on."""

    auc: Estimate
    """Chance that a candidate that was used scores above one that was not, over all suspects; each
    suspect's mean score is taken off first. 0.5: a coin."""
    spearman: Estimate | None
    """Mean over suspects of the rank correlation of scores and true shares; None: no suspect whose
    true shares differ."""
    error: Estimate
    """Mean absolute error of shares, scores below 0 as 0, divided by their sum."""
    uniform: float
    """The same error of equal shares."""
    gain: Estimate
    """`uniform` minus `error`, suspect by suspect: above 0 is better than knowing nothing."""
    placebo: Estimate
    """`auc` with truths of other suspects and other candidates, drawn at random: mean and range of
    95 % of `PERMUTATIONS`. `auc` within it is no finding."""
    suspects: int


def judge(scores: Numbers, truth: Numbers) -> Judgement:
    """Return how well scores of candidates agree with what suspects were trained on.

    Args:
        scores: (S, K) of S suspects and K candidates, higher: used more.
        truth: (S, K) true shares; each row sums to 1.

    Raises:
        ValueError: if shapes differ, a number is not finite, rows are no shares, there are fewer
            than two suspects, or all candidates were used, or none.

    Source: bootstrap of whole units, Efron and Tibshirani 1993, *An Introduction to the Bootstrap*,
    ch. 13.
    """
    _check(scores, truth)
    level = scores - scores.mean(1, keepdims=True)
    wins, counts = _wins(level, truth > 0)
    orders = _orders(scores, truth)
    errors = np.abs(_as_shares(scores) - truth).mean(1)
    plain = np.abs(1 / truth.shape[1] - truth).mean(1)
    times = _times(len(scores))
    return Judgement(
        auc=_area(wins, counts, times),
        spearman=_mean(orders, _times(len(orders))) if len(orders) else None,
        error=_mean(errors, times),
        uniform=float(plain.mean()),
        gain=_mean(plain - errors, times),
        placebo=_placebo(level, truth > 0),
        suspects=len(scores),
    )


def _check(scores: Numbers, truth: Numbers) -> None:
    """Refuse what cannot be judged."""
    if scores.shape != truth.shape or scores.ndim != 2 or not np.isfinite([scores, truth]).all():
        raise ValueError(
            f"Expected finite scores and shares (S, K), got {scores.shape} and {truth.shape}. "
            "Leave out suspects without a score."
        )
    if len(scores) < 2 or (truth < 0).any() or not np.allclose(truth.sum(1), 1):
        raise ValueError(
            f"Expected two suspects or more and shares that sum to 1, got {len(scores)} suspects. "
            "Divide each row by its sum."
        )
    if (truth > 0).all() or not (truth > 0).any():
        raise ValueError(
            "Expected candidates that were used and some that were not. Add suspects without one "
            "of the candidates."
        )


def _wins(scores: Numbers, used: Flags) -> tuple[Numbers, Numbers]:
    """Return comparisons won by what was used, and all, by suspect and suspect, (S, S) each.

    A tie is half a win: the sum is the statistic of Mann and Whitney.
    """
    size = len(scores)
    above = np.sign(scores.reshape(-1, 1) - scores.reshape(1, -1)) / 2 + 0.5
    valid = np.outer(used.ravel(), ~used.ravel()).astype(np.float64)
    shape = (size, scores.shape[1], size, scores.shape[1])
    return (above * valid).reshape(shape).sum((1, 3)), valid.reshape(shape).sum((1, 3))


def _area(wins: Numbers, counts: Numbers, times: Numbers) -> Estimate:
    """Return the area under the curve, with suspects drawn on both sides at once."""
    won = ((times @ wins) * times).sum(1)
    compared = ((times @ counts) * times).sum(1)
    low, high = np.quantile((won / np.maximum(compared, 1))[compared > 0], (0.025, 0.975))
    return Estimate(value=float(wins.sum() / counts.sum()), low=float(low), high=float(high))


def _placebo(level: Numbers, used: Flags) -> Estimate:
    """Return the area where truths are those of other suspects and candidates."""
    draw = np.random.default_rng(0)
    ranks = rankdata(level).reshape(level.shape)
    inside = int(used.sum())
    outside = used.size - inside
    areas = []
    for _ in range(PERMUTATIONS):
        shuffled = draw.permuted(draw.permutation(used), axis=1)
        areas.append((ranks[shuffled].sum() - inside * (inside + 1) / 2) / (inside * outside))
    low, high = np.quantile(areas, (0.025, 0.975))
    return Estimate(value=float(np.mean(areas)), low=float(low), high=float(high))


def _orders(scores: Numbers, truth: Numbers) -> Numbers:
    """Return the rank correlation for each suspect whose true shares differ; equal scores are 0."""
    found = []
    for ours, true in zip(rankdata(scores, axis=1), rankdata(truth, axis=1), strict=True):
        one, other = ours - ours.mean(), true - true.mean()
        if other.any():
            length = np.linalg.norm(one) * np.linalg.norm(other)
            found.append(float(one @ other / length) if length > 0 else 0.0)
    return np.array(found)


def _as_shares(scores: Numbers) -> Numbers:
    """Return scores as shares: below 0 is 0, and equal shares where nothing is above."""
    kept = scores.clip(0)
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.where(total > 0, total, 1), 1 / scores.shape[1])


def _mean(values: Numbers, times: Numbers) -> Estimate:
    low, high = np.quantile(times @ values / len(values), (0.025, 0.975))
    return Estimate(value=float(values.mean()), low=float(low), high=float(high))


def _times(size: int) -> Numbers:
    """Return how often each suspect is drawn, (DRAWS, S)."""
    draw = np.random.default_rng(0)
    return draw.multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(np.float64)
