"""Clip gradients of examples and add them up without a rounding error.

Floating-point sums leak: adding one example changes how all others were rounded, and the low-order
bits of noise added in floating point can give away what was below it (Mironov 2012, "On
significance of the least significant bits for differential privacy"). So every clipped gradient is
rounded to multiples of a power of two, the grid. Then

    - sums of multiples are exact in float64, in any order and in any parts;
    - one example moves the sum by at most `max_grad_norm`, rounding included: it is clipped by
      what rounding can add, `sqrt(P) * grid / 2`, at most a thousandth;
    - if the noise is rounded to the same grid, sum + round(noise) = round(sum + noise), because the
      sum is on the grid. What is released is post-processing of the Gaussian mechanism on real
      numbers, and its low-order bits say nothing.

    >>> gradients = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    >>> clip_and_sum(gradients, 1.0).total
    tensor([0.8994, 1.2002], dtype=torch.float64)
"""

import math
from dataclasses import dataclass, field

import torch

MARGIN = 2.0**-20
"""Relative length that is given away for the rounding of norms and products in float64."""
_AT_ONCE = 2**20
"""Numbers that are in float64 at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clipped:
    """The sum of clipped gradients, and what was clipped; all of it still without noise."""

    total: torch.Tensor = field(repr=False)
    """(P,) float64, multiples of the grid."""
    is_bad: torch.Tensor = field(repr=False)
    """(N,) bool: not finite, left out."""
    within: int = field(repr=False)
    """How many gradients were no longer than `max_grad_norm`."""


def grid_of(max_grad_norm: float, size: int) -> float:
    """Return the power of two to whose multiples gradients of `size` numbers are rounded."""
    return 2.0 ** math.floor(math.log2(max_grad_norm / (512 * math.sqrt(size))))


def clip_and_sum(
    gradients: torch.Tensor,
    max_grad_norm: float,
    *,
    bad: torch.Tensor | None = None,
    share: float = 1.0,
    size: int | None = None,
) -> Clipped:
    """Return the sum of gradients, each clipped to `share * max_grad_norm`.

    Args:
        gradients: (N, P) float32 or float64; rows that are not finite are set to zero in place.
        max_grad_norm: L2 bound on what one example adds to the whole sum.
        bad: (N,) bool, rows to leave out whatever they hold.
        share: Part of the bound that is for these P of all numbers that learn.
        size: How many numbers learn in all; P by default. It decides the grid.
    """
    size = size or gradients.shape[1]
    grid = grid_of(max_grad_norm, size)
    reach = max_grad_norm * (1 - MARGIN) - math.sqrt(size) * grid / 2
    columns = max(1, _AT_ONCE // max(1, len(gradients)))
    squares = torch.zeros(len(gradients), dtype=torch.float64, device=gradients.device)
    for part in gradients.split(columns, dim=1):
        squares += part.double().square().sum(1)
    is_bad = ~squares.isfinite() if bad is None else bad | ~squares.isfinite()
    gradients[is_bad] = 0
    norms = squares.sqrt()
    factors = (share * reach / norms.clamp(min=share * reach)).masked_fill(is_bad, 0) / grid
    sums = [
        (part.double() * factors[:, None]).round_().sum(0)
        for part in gradients.split(columns, dim=1)
    ]
    return Clipped(
        total=torch.cat(sums) * grid,
        is_bad=is_bad,
        within=int(((norms <= share * max_grad_norm) & ~is_bad).sum()),
    )
