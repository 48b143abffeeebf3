"""How well a secret is remembered: its rank among all that could have stood in its place.

>>> exposure_of(-1.0, np.array([-2.0, -3.0, -4.0]))  # the likeliest of four: log2 4
2.0
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import skewnorm

Numbers = npt.NDArray[np.float64]
LEAST_FOR_A_FIT = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposures:
    """Exposure of secrets that were planted and of others that were not."""

    planted: float
    """Mean, in bits."""
    others: float
    """Mean, in bits; about 1.44 (1 / ln 2) where nothing is remembered."""
    difference: float
    low: float
    high: float
    """95 % interval of the difference: secrets are drawn, each within its kind."""
    most: float
    """Bits of a secret that is likelier than every alternative."""

    @property
    def is_remembered(self) -> bool:
        """Return whether planted secrets are likelier than chance explains."""
        return self.low > 0


def exposure_of(score: float, alternatives: Numbers) -> float:
    """Return the exposure of one secret, in bits: log2 of all less log2 of its rank.

    Args:
        score: Log-probability of the secret.
        alternatives: (A,) those of other secrets of its form, drawn at random; a tie counts
            against the secret.

    Raises:
        ValueError: if there is none, or a number is not finite.

    Source: Carlini et al. 2019, *The Secret Sharer* (arXiv:1802.08232), section 4.
    """
    _check(score, alternatives)
    rank = 1 + int((alternatives >= score).sum())
    return float(np.log2(len(alternatives) + 1) - np.log2(rank))


def extrapolated_exposure(score: float, alternatives: Numbers) -> float:
    """Return the exposure beyond what a sample can show, by a skew-normal fit to its scores.

    Of a secret that beats every alternative of a sample, counting says the sample's size only.
    The tail of the fit is an assumption: the number is an estimate.

    Arguments and errors are those of `exposure_of`; `LEAST_FOR_A_FIT` alternatives or more.

    Source: Carlini et al. 2019 (arXiv:1802.08232), section 4, on approximating by a distribution.
    """
    _check(score, alternatives)
    if len(alternatives) < LEAST_FOR_A_FIT:
        raise ValueError(
            f"Expected {LEAST_FOR_A_FIT} alternatives or more for a fit, got {len(alternatives)}. "
            "Draw more."
        )
    shape, place, scale = skewnorm.fit(alternatives)
    return float(-skewnorm.logsf(score, shape, place, scale) / np.log(2))


def compare_exposures(
    planted: Sequence[float], others: Sequence[float], *, alternatives: int, draws: int = 2000
) -> Exposures:
    """Return whether secrets that were planted are more exposed than those that were not.

    Args:
        planted: Bits of each planted secret; two or more.
        others: Bits of each other one; two or more.
        alternatives: With how many each was compared.
        draws: Of the bootstrap.

    Raises:
        ValueError: if there are fewer than two of a kind.
    """
    kinds = [np.asarray(planted, dtype=np.float64), np.asarray(others, dtype=np.float64)]
    if min(map(len, kinds)) < 2:
        raise ValueError(
            f"Expected two secrets or more of each kind, got {len(planted)} planted and "
            f"{len(others)} not. Draw more canaries."
        )
    draw = np.random.default_rng(0)
    means = [kind[draw.integers(len(kind), size=(draws, len(kind)))].mean(1) for kind in kinds]
    low, high = np.quantile(means[0] - means[1], (0.025, 0.975))
    first, second = (float(kind.mean()) for kind in kinds)
    return Exposures(
        planted=first,
        others=second,
        difference=first - second,
        low=float(low),
        high=float(high),
        most=float(np.log2(alternatives + 1)),
    )


def _check(score: float, alternatives: Numbers) -> None:
    if not len(alternatives) or not np.isfinite(alternatives).all() or not np.isfinite(score):
        raise ValueError(
            f"Expected finite log-probabilities of the secret and of one alternative or more, got "
            f"{len(alternatives)} alternatives. Leave out what has none."
        )
