"""Lower bounds on epsilon from a game that was played many times: with somebody, or without?

In each play a coin decides whether one unit is in the data, the mechanism is run anew, and the
auditor says which it was. Rates of both kinds of error bound what the mechanism can promise: an
(epsilon, delta)-private one allows no more than
`1 - false negatives <= delta + exp(epsilon) * false positives`, and the same with both exchanged.
Plays have to be independent, and the auditor's rule fixed before them. Scores of canaries in one
run are such plays where canaries do not disturb each other, as orthogonal ones do not.

>>> errors = Errors(false_positives=0, negatives=500, false_negatives=0, positives=500)
>>> round(pairs_bound(errors, delta=1e-5).epsilon, 2)
4.91
>>> round(gaussian_pairs_bound(errors, delta=1e-5).epsilon, 2)
32.0
"""

import math
from dataclasses import dataclass

from scipy.special import ndtri

from discreet.bounds.curves import check_delta, epsilon_of_mu
from discreet.bounds.guessing import Bound, Flags, Numbers, check_scores
from discreet.intervals import share_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """How often the auditor was wrong, of how often."""

    false_positives: int
    """"With" said of plays without."""
    negatives: int
    """Plays without, 1 or more."""
    false_negatives: int
    """"Without" said of plays with."""
    positives: int
    """Plays with, 1 or more."""


def count_errors(scores: Numbers, included: Flags, *, threshold: float) -> Errors:
    """Return the errors of saying "with" above a threshold that was fixed before the plays.

    Args:
        scores: (m,) one a play; higher: with.
        included: (m,) what the coins said.
        threshold: Fixed without a look at these scores and coins.

    Raises:
        ValueError: if a score is not finite, or one side has no play.
    """
    check_scores(scores, included)
    if included.all() or not included.any():
        raise ValueError(
            f"Expected plays of both kinds, got {len(included)} of one. It needs at least 1 of "
            "each; toss fair coins."
        )
    said = scores > threshold
    return Errors(
        false_positives=int((said & ~included).sum()),
        negatives=int((~included).sum()),
        false_negatives=int((~said & included).sum()),
        positives=int(included.sum()),
    )


def highest_rates(errors: Errors, *, confidence: float) -> tuple[float, float]:
    """Return upper bounds of both rates of error that hold together as often as `confidence`.

    Each end of a two-sided interval at `confidence` fails in half of what may fail.
    """
    ends = [
        share_interval(wrong, plays, confidence=confidence)[1]
        for wrong, plays in (
            (errors.false_positives, errors.negatives),
            (errors.false_negatives, errors.positives),
        )
    ]
    return ends[0], ends[1]


def pairs_bound(errors: Errors, *, delta: float, confidence: float = 0.95) -> Bound:
    """Return the lower bound on epsilon that the two rates of error give.

    Args:
        errors: Of independent plays, by a rule that was fixed beforehand.
        delta: The delta at which epsilon is asked for, 0 or more.
        confidence: How often the bound is right; both rates hold together.

    Source: Jagielski, Ullman and Oprea 2020 (arXiv:2006.07709); both directions and delta as in
    Nasr et al. 2021 (arXiv:2101.04535).
    """
    first, second = highest_rates(errors, confidence=confidence)
    ratios = [
        math.log((1 - delta - others) / rate)
        for rate, others in ((first, second), (second, first))
        if 1 - delta - others > 0
    ]
    return Bound(
        method="two rates of error (Jagielski et al. 2020)",
        epsilon=max(0.0, *ratios) if ratios else 0.0,
        delta=delta,
        confidence=confidence,
        assumes=None,
    )


def lowest_mu(errors: Errors, *, confidence: float = 0.95) -> float:
    """Return the lower bound on mu of a Gaussian mechanism, 0 or more.

    Source: Nasr et al. 2023, *Tight Auditing of Differentially Private Machine Learning*
    (arXiv:2302.07956).
    """
    first, second = highest_rates(errors, confidence=confidence)
    return max(0.0, float(-ndtri(first) - ndtri(second)))


def gaussian_pairs_bound(errors: Errors, *, delta: float, confidence: float = 0.95) -> Bound:
    """Return the lower bound on epsilon of a mechanism whose curve is Gaussian.

    With everything in each step, Gaussian steps have such a curve, and a threshold half-way shows
    all of it. Arguments are those of `pairs_bound`.
    """
    check_delta(delta)
    return Bound(
        method="two rates of error, Gaussian curve (Nasr et al. 2023)",
        epsilon=epsilon_of_mu(lowest_mu(errors, confidence=confidence), delta),
        delta=delta,
        confidence=confidence,
        assumes="the trade-off curve of a Gaussian mechanism",
    )
