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
SECRETS_NEEDED = 5
"""Of each kind: fewer have too few other labels to be surer than 1 %."""


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


def chance_of_exposures(
    planted: Sequence[Sequence[float]], others: Sequence[Sequence[float]], *, draws: int = 4000
) -> float:
    """Return the chance that exposures differ as much if nothing is remembered, over all scores.

    A permutation test: coins decided what was planted, so that under chance any other labels were
    as likely. The largest standardised difference over the scores is compared, so that the better
    of several scores may be told.

    Args:
        planted: For each score, bits of each planted secret, in one order for all.
        others: For each score, bits of each other one.
        draws: Of labels.

    Raises:
        ValueError: if there are fewer than `SECRETS_NEEDED` of a kind, or scores differ in length.

    Source: Westfall and Young 1993, *Resampling-Based Multiple Testing*, on the largest statistic.
    """
    first, second = np.atleast_2d(planted), np.atleast_2d(others)
    if len(first) != len(second) or min(first.shape[1], second.shape[1]) < SECRETS_NEEDED:
        raise ValueError(
            f"Expected scores of at least {SECRETS_NEEDED} secrets of each kind, got "
            f"{first.shape[1]} planted and {second.shape[1]} not. Draw more canaries."
        )
    every, count = np.concatenate([first, second], axis=1), first.shape[1]
    spread = every.std(axis=1)
    level = (every - every.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1)[:, None]
    seen = float(level[:, :count].sum(1).max())
    draw = np.random.default_rng(0)
    labels = (draw.permutation(every.shape[1])[:count] for _ in range(draws))
    largest = np.array([level[:, own].sum(1).max() for own in labels])
    return (1 + int((largest >= seen - 1e-9).sum())) / (1 + draws)


def _check(score: float, alternatives: Numbers) -> None:
    if not len(alternatives) or not np.isfinite(alternatives).all() or not np.isfinite(score):
        raise ValueError(
            f"Expected finite log-probabilities of the secret and of one alternative or more, got "
            f"{len(alternatives)} alternatives. Leave out what has none."
        )
