"""Canary owners: updates in random directions, found again by their cosines with what is released.

In a space of many numbers a direction that nobody used has a cosine of about N(0, 1 / size) with
anything, so that no owner has to be left out and no run repeated to know what "not there" looks
like. Cosines of canary owners that took part are fitted by a Gaussian; the two Gaussians give an
estimate of the client-level epsilon. It certifies nothing, and it is too low where canaries are a
good part of what was released: keep their number well below `size` times the variance of the noise
over the norm. With coins and `project`, the same canaries serve the bounds of `one_run` and `f_dp`.

>>> canaries = CanaryOwners(count=50, size=4000, max_grad_norm=1.0, seed=0)
>>> noise = np.random.default_rng(1).normal(0, 0.5, 4000)
>>> released = noise + sum(canaries.update_of(place) for place in range(50))
>>> estimate = owner_estimate(canaries.cosines(released), size=4000, delta=1e-5)
>>> estimate.epsilon_low < epsilon_of_mu(1 / 0.5, 1e-5) < estimate.epsilon_high
True

Source: Andrew et al. 2023, *One-shot Empirical Privacy Estimation for Federated Learning*
(arXiv:2302.03098).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import chdtr, ndtr, stdtrit

from discreet.bounds.curves import check_delta, epsilon_of_mu
from discreet.bounds.gaussian import SCORES_NEEDED, Estimate

Numbers = npt.NDArray[np.float64]

SIZE_NEEDED = 1000
"""With fewer numbers the cosine of two random directions is not yet Gaussian in the tails."""
_DRAWS = 400
"""Of means and widths, for the interval."""
_ALIKE = 1e-9
"""Relative difference of widths below which they are one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryOwners:
    """Random directions that are made again from a seed whenever they are needed."""

    count: int
    """How many, 1 or more."""
    size: int
    """Numbers in an update, at least `SIZE_NEEDED`."""
    max_grad_norm: float
    """Length of each update; the norm to which the plan clips owners."""
    seed: int
    """Decides directions and coins; the auditor's, and nobody else's before the run ended."""

    def __post_init__(self) -> None:
        """Refuse a space in which random directions are not nearly orthogonal."""
        if self.count < 1 or self.size < SIZE_NEEDED or not 0 < self.max_grad_norm < math.inf:
            raise ValueError(
                f"Expected 1 canary or more of max_grad_norm > 0 in {SIZE_NEEDED} numbers or more, "
                f"got {self.count} of {self.max_grad_norm} in {self.size}. It needs at least "
                f"{SIZE_NEEDED} numbers that learn."
            )

    @property
    def included(self) -> npt.NDArray[np.bool_]:
        """Return a fair coin for each canary, (count,), for audits that leave some out."""
        return np.random.default_rng([self.seed, 0]).random(self.count) < 0.5

    def direction_of(self, place: int) -> Numbers:
        """Return one canary's direction (size,), uniform on the unit sphere."""
        direction = np.random.default_rng([self.seed, 1, place]).normal(size=self.size)
        found: Numbers = direction / np.linalg.norm(direction)
        return found

    def update_of(self, place: int) -> Numbers:
        """Return what one canary sends, (size,), as long as the norm allows."""
        return self.max_grad_norm * self.direction_of(place)

    def cosines(self, released: Numbers) -> Numbers:
        """Return the cosine of each canary with what was released, (count,).

        Args:
            released: (size,) the change of the adapter over the run, or in one round.

        Raises:
            ValueError: if it has another size, is not finite, or is zero.
        """
        length = np.linalg.norm(released)
        if released.shape != (self.size,) or not 0 < length < math.inf:
            raise ValueError(
                f"Expected a finite update ({self.size},) other than zero, got shape "
                f"{released.shape} of length {length:g}. Give the change of the adapter."
            )
        return self.project(released) * self.max_grad_norm / length

    def project(self, released: Numbers) -> Numbers:
        """Return what a noisy sum (size,) shows of each canary, (count,); about 1 if it is in."""
        shown = [self.direction_of(place) @ released for place in range(self.count)]
        return np.array(shown) / self.max_grad_norm


def owner_estimate(
    cosines: Numbers, *, size: int, delta: float, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Return the estimate of the client-level epsilon from canary owners that all took part.

    Widths of both Gaussians are taken for one where the cosines do not tell them apart at
    `confidence`: of two fitted widths one is always wider, which alone would look like a leak.

    Args:
        cosines: (k,) of owners that took part, with what was released.
        size: Numbers in an update.
        delta: The delta at which epsilon is asked for.
        confidence: Of the interval: by Student's t for one width, or else by draws of the mean and
            width that a Gaussian may have had.
        seed: Of those draws.

    Raises:
        ValueError: if there are fewer than `SCORES_NEEDED`, or one is not finite.
    """
    check_delta(delta)
    count = len(cosines)
    if cosines.ndim != 1 or count < SCORES_NEEDED or not np.isfinite(cosines).all():
        raise ValueError(
            f"Expected finite cosines (k,), got shape {cosines.shape}. It needs at least "
            f"{SCORES_NEEDED} canary owners."
        )
    scaled = cosines * math.sqrt(size)  # those who were not there: N(0, 1)
    found = _of_one_width(scaled, delta, confidence) or _of_two_widths(
        scaled, delta, confidence, np.random.default_rng(seed)
    )
    return Estimate(
        method="cosines of canary owners (Andrew et al. 2023)",
        epsilon=found[0],
        epsilon_low=found[1],
        epsilon_high=found[2],
        delta=delta,
        confidence=confidence,
        assumes="cosines are Gaussian, and independent of each other",
    )


def _of_one_width(
    scaled: Numbers, delta: float, confidence: float
) -> tuple[float, float, float] | None:
    """Return epsilon and its ends for a width of 1; None if the scores have another."""
    count, mean, width = len(scaled), float(scaled.mean()), float(scaled.std(ddof=1))
    below = float(chdtr(count - 1, (count - 1) * width**2))
    if min(below, 1 - below) < (1 - confidence) / 2:
        return None
    reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * width / math.sqrt(count)
    least = max(0.0, abs(mean) - reach)
    first, low, high = (epsilon_of_mu(mu, delta) for mu in (abs(mean), least, abs(mean) + reach))
    return first, low, high


def _of_two_widths(
    scaled: Numbers, delta: float, confidence: float, draw: np.random.Generator
) -> tuple[float, float, float]:
    """Return epsilon and its ends, by means and widths that may have given these scores."""
    count, mean, width = len(scaled), float(scaled.mean()), float(scaled.std(ddof=1))
    widths = width * np.sqrt((count - 1) / draw.chisquare(count - 1, size=_DRAWS))
    means = mean + widths / math.sqrt(count) * draw.normal(size=_DRAWS)
    drawn = [epsilon_of_gaussians(*pair, delta) for pair in zip(means, widths, strict=True)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return epsilon_of_gaussians(mean, width, delta), float(low), float(high)


def epsilon_of_gaussians(mean: float, width: float, delta: float) -> float:
    """Return the least epsilon at which N(mean, width^2) and N(0, 1) are within delta, both ways.

    Raises:
        ValueError: if the width is not above 0.
    """
    if not 0 < width < math.inf:
        raise ValueError(
            f"Expected a width above 0, got {width}: there is no noise in what was released."
        )
    if abs(width - 1) < _ALIKE:
        return epsilon_of_mu(abs(mean), delta)
    ways = ((mean, width), (-mean / width, 1 / width))
    return max(_epsilon_one_way(*way, delta) for way in ways)


def hockey_stick(mean: float, width: float, epsilon: float) -> float:
    """Return the most by which N(mean, width^2) exceeds exp(epsilon) times N(0, 1) on any event.

    The log of the ratio of densities is a quadratic; its roots bound the event. The width is not 1.
    """
    bend = (1 - width**-2) / 2
    slope = mean / width**2
    level = -math.log(width) - mean**2 / (2 * width**2) - epsilon
    inside = slope**2 - 4 * bend * level
    if inside <= 0:
        return max(0.0, -math.expm1(epsilon)) if bend > 0 else 0.0
    far = -(slope + math.copysign(math.sqrt(inside), slope)) / 2
    low, high = sorted((far / bend, level / far if far else 0.0))
    first = _between((low - mean) / width, (high - mean) / width, is_outside=bend > 0)
    second = _between(low, high, is_outside=bend > 0)
    return max(0.0, first - (math.exp(epsilon + math.log(second)) if second > 0 else 0.0))


def _between(low: float, high: float, *, is_outside: bool) -> float:
    """Return the chance of N(0, 1) between two ends, or outside of them, without cancellation."""
    if is_outside:
        return float(ndtr(low) + ndtr(-high))
    if low > 0:
        low, high = -high, -low
    return float(ndtr(high) - ndtr(low))


def _epsilon_one_way(mean: float, width: float, delta: float) -> float:
    """Return the epsilon at which the one exceeds the other by no more than delta."""
    if hockey_stick(mean, width, 0.0) <= delta:
        return 0.0
    most = 1.0
    while hockey_stick(mean, width, most) > delta:
        most *= 2
    return float(brentq(lambda one: hockey_stick(mean, width, one) - delta, 0.0, most, xtol=1e-9))
