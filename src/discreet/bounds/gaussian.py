"""An estimate of epsilon where scores of canaries are Gaussian: from how far two means are apart.

Scores of canaries that were in the data and of those that were not are taken for two samples of one
width; the distance of their means over that width is mu. It sees more than a bound by counts and
rests on more: that scores are Gaussian, of one width, and independent. Where they are not, it may
lie on either side of the truth. It certifies nothing.

>>> draw = np.random.default_rng(0)
>>> estimate = gaussian_estimate(draw.normal(1, 1, 500), draw.normal(0, 1, 500), delta=1e-5)
>>> round(estimate.epsilon_low, 2), round(estimate.epsilon, 2), round(estimate.epsilon_high, 2)
(4.04, 4.72, 5.41)
>>> estimate.is_certificate
False
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import nctdtr
from scipy.stats import norm

from discreet.bounds.curves import check_delta, epsilon_of_mu

Numbers = npt.NDArray[np.float64]

SCORES_NEEDED = 10
"""Of each kind; with fewer a width says nothing."""
_TOO_FAR = 30.0
"""Distance over its error beyond which the noncentral t is a normal number for our purposes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What epsilon would be if scores were Gaussian."""

    method: str
    """How it was found."""
    epsilon: float
    """At `delta`; neither an upper nor a lower bound."""
    epsilon_low: float
    epsilon_high: float
    """Two-sided interval at `confidence`; it holds the chance of the draw, not a wrong
    assumption."""
    delta: float
    confidence: float
    assumes: str
    """What has to be true of the scores."""
    is_certificate: bool = False
    """It is none."""


def gaussian_estimate(
    included_scores: Numbers, excluded_scores: Numbers, *, delta: float, confidence: float = 0.95
) -> Estimate:
    """Return the estimate of epsilon from scores of canaries that were in the data, and were not.

    Args:
        included_scores: (n,) higher: more likely in the data.
        excluded_scores: (k,)
        delta: The delta at which epsilon is asked for.
        confidence: Of the interval; exact for Gaussian scores of one width, by the noncentral t.

    Raises:
        ValueError: if one kind has fewer than `SCORES_NEEDED`, a score is not finite, or all scores
            of each kind are equal.

    Source: Nasr et al. 2023 (arXiv:2302.07956) for mu; Hedges 1981, *Distribution Theory for
    Glass's Estimator of Effect Size*, for its interval.
    """
    check_delta(delta)
    distance, error, freedom = _standardized(included_scores, excluded_scores)
    low, high = _interval(distance / error, freedom, confidence)
    epsilons = [epsilon_of_mu(max(0.0, mu), delta) for mu in (low * error, distance, high * error)]
    return Estimate(
        method="distance of two means",
        epsilon_low=epsilons[0],
        epsilon=epsilons[1],
        epsilon_high=epsilons[2],
        delta=delta,
        confidence=confidence,
        assumes="scores are Gaussian, of one width, and independent of each other",
    )


def _standardized(first: Numbers, second: Numbers) -> tuple[float, float, int]:
    """Return the distance of means over the common width, its error if it is 0, and freedom."""
    for scores in (first, second):
        if scores.ndim != 1 or len(scores) < SCORES_NEEDED or not np.isfinite(scores).all():
            raise ValueError(
                f"Expected finite scores (n,) of both kinds, got shape {scores.shape}. It needs at "
                f"least {SCORES_NEEDED} of each."
            )
    freedom = len(first) + len(second) - 2
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    width = math.sqrt(squares / freedom)
    if width == 0:
        raise ValueError(
            "Expected scores that differ, got the same for all of a kind: there is no noise in "
            "them. Score what the mechanism released."
        )
    error = math.sqrt(1 / len(first) + 1 / len(second))
    return float(first.mean() - second.mean()) / width, error, freedom


def _interval(observed: float, freedom: int, confidence: float) -> tuple[float, float]:
    """Return the two noncentralities at which what was observed is at the edge of likely."""
    tail = (1 - confidence) / 2
    if abs(observed) > _TOO_FAR:
        reach = float(norm.isf(tail)) * math.sqrt(1 + observed**2 / (2 * freedom))
        return observed - reach, observed + reach
    reach = 6 * math.sqrt(1 + observed**2 / (2 * freedom))

    def below(centre: float) -> float:
        chance = float(nctdtr(freedom, centre, observed))
        far = 0.0 if centre > observed else 1.0  # where SciPy's series gives up
        return far if math.isnan(chance) else chance

    def at(chance: float) -> float:
        return float(
            brentq(lambda centre: below(centre) - chance, observed - reach, observed + reach)
        )

    return at(1 - tail), at(tail)
