"""Noise that owners add themselves, in whole numbers, so that only a sum has to be opened.

Under secure aggregation nobody sees a single update, and so nobody can add noise to the sum: each
owner adds a share of it. Masks work on whole numbers modulo 2**32, and so does the noise, which is
from the discrete Gaussian (Canonne, Kamath, Steinke 2020, arXiv:2004.00010). A sum of such shares
is no discrete Gaussian, and almost one; what is missing is in the bound (Kairouz, Liu, Steinke
2021, arXiv:2102.06387).

Guarantee:
    The opened sums of all rounds that the ledger holds are together (epsilon, delta)-differentially
    private for replacing one owner's update by zero (`zero_out_one`), with the epsilon of
    `PrivacyLedger.spent`, towards everybody who sees sums only. It rests on at least `threshold`
    owners of each sum being honest: they clipped, added their share, and tell it to nobody; the
    owner who is hidden may be one of them. It rests on the sum being all that is opened, which is
    for secure aggregation to keep, and on noise generators with keys that nobody knows.

    Probabilities of the sampler are computed in float64. Each is right up to a factor of 1 + 2**-44
    by the rounding of its steps, which adds less than 2**-43 to epsilon for each number sent;
    beyond 12 standard deviations, a chance of 1e-31, it may be off by more.

It knows no keys and no masks.

    >>> discrete_gaussian(3.0, 6, CounterGenerator.seeded("a test"))
    tensor([ 2,  2, -6, -1, -1,  1])
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from discreet.privacy.clipping import clip_and_sum, grid_of
from discreet.privacy.gaussian import check_variance
from discreet.privacy.owners import Shapes, require_owners, row_of, size_of, tensors_of
from discreet.privacy.plan import PrivacyPlan, require_count
from discreet.privacy.randomness import CounterGenerator

MODULUS = 2**32
"""Of the numbers that are added."""
_WRAP_BITS = 40
"""A sum of any round wraps around with a chance below 2**-40."""
_SLACK = 2.0**-20
"""Relative strength of the noise that pays for sums of shares being no discrete Gaussian."""
_AT_ONCE = 2**18
"""Numbers that are drawn at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerShare:
    """How an update becomes whole numbers with noise, and their sum a mean; all of it is public.

    With the plan's norm as N steps of the grid, each of `threshold` shares has a deviation of
    `noise_multiplier` N / sqrt(threshold) steps. More honest owners make more noise than planned.

    Raises:
        ValueError: if a sum could wrap around, or shares are too coarse for the bound.
    """

    plan: PrivacyPlan
    """Whose unit is the owner and whose neighbours are `zero_out_one`."""
    shapes: Shapes
    """Of an update, by name."""
    owners: int
    """Most owners in a sum, 1 or more."""
    threshold: int
    """Honest owners that are in each sum at least, from 1 to `owners`."""

    def __post_init__(self) -> None:
        """Refuse what could not be decoded, or is not as private as planned."""
        require_owners(self.plan, "zero_out_one", "OwnerSum")
        require_count("owners", self.owners)
        require_count("threshold", self.threshold)
        if self.threshold > self.owners:
            raise ValueError(
                f"Expected threshold <= owners ({self.owners}), got threshold={self.threshold}."
            )
        if not self.reach < MODULUS / 2:
            raise ValueError(
                f"Expected sums below 2**31, got up to {self.reach:.3g} by {self.owners} owners "
                f"with {self.size} numbers and noise {self.plan.noise_multiplier:g}: they could "
                "wrap around. Ask fewer owners, raise threshold, or lower the noise."
            )
        bound = concentrated_epsilon(self.norm, self.deviation, self.threshold, self.size)
        if not (self.deviation >= 0.5 and bound <= 1 / self.plan.noise_multiplier):
            raise ValueError(
                f"Expected shares of noise that add up to a Gaussian, got shares with a deviation "
                f"of {self.deviation:.3g} steps. Raise the noise, or lower threshold."
            )

    @property
    def size(self) -> int:
        """Return how many numbers are sent, P."""
        return size_of(self.shapes)

    @property
    def grid(self) -> float:
        """Return what one step is worth."""
        return grid_of(self.plan.max_grad_norm, self.size)

    @property
    def norm(self) -> float:
        """Return the clipping norm in steps."""
        return self.plan.max_grad_norm / self.grid

    @property
    def deviation(self) -> float:
        """Return the standard deviation of one owner's noise, in steps."""
        planned = self.plan.noise_multiplier * self.norm / math.sqrt(self.threshold)
        return planned * (1 + _SLACK)

    @property
    def reach(self) -> float:
        """Return what no number of any sum exceeds, save by a chance of 2**-40 in all, in steps.

        Source: the discrete Gaussian is subgaussian with its deviation (Canonne, Kamath, Steinke
        2020, arXiv:2004.00010), and so is a sum of shares with the root of the sum of squares.
        """
        numbers = self.size * self.plan.steps
        tails = math.sqrt(2 * math.log(2 * numbers * 2.0**_WRAP_BITS))
        return self.owners * self.norm + tails * self.deviation * math.sqrt(self.owners)

    def encode(
        self, update: Mapping[str, torch.Tensor], noise_generator: CounterGenerator
    ) -> npt.NDArray[np.uint32]:
        """Return an owner's clipped update with its share of the noise, (P,) modulo 2**32.

        An update with a number that is not finite is sent as zero, with its noise.

        Raises:
            ValueError: if names or shapes are others.
        """
        clipped = clip_and_sum(row_of(update, self.shapes), self.plan.max_grad_norm)
        steps = (clipped.total / self.grid).round().long()
        most = (Fraction(self.plan.max_grad_norm) / Fraction(self.grid)) ** 2
        if int(steps.square().sum()) > most:
            raise ArithmeticError("Expected a clipped update within the norm, got a longer one.")
        noise = discrete_gaussian(self.deviation, self.size, noise_generator)
        check_variance(noise.double() / self.deviation)
        return ((steps + noise) % MODULUS).numpy().astype(np.uint32)

    def decode(self, total: npt.NDArray[np.uint32], count: int) -> dict[str, torch.Tensor]:
        """Return the noisy mean of the updates in a sum, float32 by name.

        Args:
            total: (P,) sum modulo 2**32 of what `count` owners encoded.
            count: Owners in the sum, which everybody may know.

        Raises:
            ValueError: if it is no such sum, or fewer owners than `threshold` are in it.
        """
        if not self.threshold <= count <= self.owners:
            raise ValueError(
                f"Expected a sum of {self.threshold} to {self.owners} owners, got {count}: too few "
                "add less noise than planned, and too many may wrap around."
            )
        if total.dtype != np.uint32 or total.shape != (self.size,):
            raise ValueError(
                f"Expected a sum of {self.size} numbers uint32, got {total.shape} {total.dtype}."
            )
        steps = torch.from_numpy(total.view(np.int32).astype(np.float64))
        return tensors_of(steps * self.grid / count, self.shapes)


def concentrated_epsilon(norm: float, deviation: float, shares: int, size: int) -> float:
    """Return the epsilon of (epsilon**2 / 2)-concentrated privacy of a sum of shares of noise.

    It is the inverse of the noise multiplier of a Gaussian that is accounted for in its place.

    Args:
        norm: What one owner may change, L2.
        deviation: Of each share, at least 1/2.
        shares: How many shares there are.
        size: How many numbers, P.

    Source: Kairouz, Liu, Steinke 2021, Proposition 14 (arXiv:2102.06387).
    """
    exponent = -2 * math.pi**2 * deviation**2
    tau = 10 * math.fsum(math.exp(exponent * k / (k + 1)) for k in range(1, shares))
    return norm / (math.sqrt(shares) * deviation) + tau * math.sqrt(size)


def discrete_gaussian(deviation: float, count: int, generator: CounterGenerator) -> torch.Tensor:
    """Return (count,) int64, each x with a chance proportional to exp(-x**2 / (2 deviation**2)).

    Source: Canonne, Kamath, Steinke 2020, Algorithms 2 and 3 (arXiv:2004.00010), with a Laplace of
    another width: a power of two, whose remainders `integers_below` draws without a rest.
    """
    if not 0.5 <= deviation < MODULUS / 2:
        raise ValueError(f"Expected 0.5 <= deviation < 2**31, got deviation={deviation}.")
    parts: list[torch.Tensor] = []
    while count > 0:
        drawn = _draw(deviation, min(count, _AT_ONCE), generator)[:count]
        parts.append(drawn)
        count -= len(drawn)
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)


def _draw(deviation: float, wanted: int, generator: CounterGenerator) -> torch.Tensor:
    """Return about `wanted` numbers; of the proposals, 41 to 48 % are taken."""
    proposals = 5 * wanted // 2 + 64
    width = 2 ** max(0, round(math.log2(deviation)))
    rest = generator.integers_below(width, proposals)
    is_taken = generator.exponential(proposals) > rest / width
    magnitude = rest + width * generator.exponential(proposals).floor().long()
    is_negative = generator.uniform(proposals) < 0.5
    is_taken &= ~(is_negative & (magnitude == 0))
    variance = deviation**2
    is_taken &= generator.exponential(proposals) > (magnitude - variance / width) ** 2 / (
        2 * variance
    )
    return torch.where(is_negative, -magnitude, magnitude)[is_taken]
