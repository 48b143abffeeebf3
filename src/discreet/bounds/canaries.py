"""Canaries that are gradients: orthogonal directions, each put into every step or not, on a coin.

They are the strongest that a white-box auditor has: as long as the clipping norm, and orthogonal,
so that none disturbs another. A coin decides for each canary whether it takes part at all. What
each release shows of a canary is its inner product with the noisy sum; over steps they are added
up, or weighed by how likely each is with and without the canary. It knows no model: whoever trains
adds the sums, and hands back what was released.

>>> canaries = draw_canaries(4, 10, max_grad_norm=1.0, draw=np.random.default_rng(0))
>>> canaries.sum_of(canaries.included).shape
(10,)
>>> shown = canaries.project(canaries.sum_of(canaries.included)[None])
>>> bool(np.allclose(shown[0], canaries.included))
True

Source: Steinke, Nasr and Jagielski 2023 (arXiv:2305.08846); Nasr et al. 2023
(arXiv:2302.07956) for gradients as canaries.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_MOST_DENSE = 2**27
"""Numbers of dense directions, 1 GiB; beyond it single coordinates are the canaries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Canaries:
    """Orthogonal gradients of one length, and who of them takes part."""

    size: int
    """P: numbers in a gradient."""
    max_grad_norm: float
    """Length of each."""
    included: Flags = field(repr=False)
    """(m,) what fair coins said; a secret of the auditor."""
    coordinates: npt.NDArray[np.int64] | None = field(default=None, repr=False)
    """(m,) the coordinate of each; None: directions are dense."""
    directions: Numbers | None = field(default=None, repr=False)
    """(m, P) orthonormal rows; None: they are single coordinates."""

    def sum_of(self, chosen: Flags) -> Numbers:
        """Return the sum (P,) of the chosen canaries' gradients, to be added to a step's sum.

        Each has the length of the norm already; a sum that is clipped as a whole holds none.
        """
        if self.coordinates is None:
            assert self.directions is not None
            return self.max_grad_norm * chosen.astype(np.float64) @ self.directions
        total = np.zeros(self.size)
        total[self.coordinates[chosen]] = self.max_grad_norm
        return total

    def gradient_of(self, place: int) -> Numbers:
        """Return one canary's gradient, (P,)."""
        chosen = np.zeros(len(self.included), dtype=np.bool_)
        chosen[place] = True
        return self.sum_of(chosen)

    def project(self, released: Numbers) -> Numbers:
        """Return what noisy sums (T, P) show of each canary, (T, m); about 1 if it took part.

        Noise has the standard deviation `noise_multiplier` in these units.

        Raises:
            ValueError: if a sum has another size, or is not finite.
        """
        if released.ndim != 2 or released.shape[1] != self.size:
            raise ValueError(
                f"Expected released sums (T, {self.size}), got shape {released.shape}. Give one "
                "row for each step."
            )
        if not np.isfinite(released).all():
            raise ValueError(
                "Expected released sums that are finite, got some that are not. The run broke; "
                "audit one that did not."
            )
        if self.coordinates is None:
            assert self.directions is not None
            return released @ self.directions.T / self.max_grad_norm
        return released[:, self.coordinates] / self.max_grad_norm


def draw_canaries(
    count: int,
    size: int,
    *,
    max_grad_norm: float,
    draw: np.random.Generator,
    dense: bool = False,
) -> Canaries:
    """Return canaries in a space of `size` numbers, with a coin for each.

    Args:
        count: m, at most `size`: no more are orthogonal.
        size: P.
        max_grad_norm: Length of each.
        draw: Decides directions and coins.
        dense: Directions that are uniform on the sphere, m times P numbers; otherwise single
            coordinates, which need no memory. To noise that is equal in all directions both are
            the same.

    Raises:
        ValueError: if there are more than fit, or dense ones would fill the memory.
    """
    if not (1 <= count <= size and 0 < max_grad_norm < np.inf):
        raise ValueError(
            f"Expected 1 <= count <= size and max_grad_norm > 0, got {count} canaries in {size} "
            f"numbers with max_grad_norm={max_grad_norm}. Draw no more than are orthogonal."
        )
    included = draw.random(count) < 0.5
    if not dense:
        return Canaries(
            size=size,
            max_grad_norm=max_grad_norm,
            included=included,
            coordinates=draw.permutation(size)[:count],
        )
    if count * size > _MOST_DENSE:
        raise ValueError(
            f"Expected at most {_MOST_DENSE} numbers of dense directions, got {count * size}. Use "
            "single coordinates, dense=False."
        )
    rows, triangle = np.linalg.qr(draw.normal(size=(size, count)))
    signs = np.sign(np.diag(triangle))  # without them QR's rows are not uniform
    return Canaries(
        size=size,
        max_grad_norm=max_grad_norm,
        included=included,
        directions=np.ascontiguousarray((rows * signs).T),
    )


def summed_scores(shown: Numbers) -> Numbers:
    """Return scores (m,) that add up what all steps show, (T, m)."""
    total: Numbers = shown.sum(0)
    return total


def likelihood_scores(
    shown: Numbers, *, noise_multiplier: float, sample_rate: float = 1.0
) -> Numbers:
    """Return scores (m,): how much likelier what all steps show is with a canary than without.

    No other score tells them apart better (Neyman and Pearson). With everything in each step it
    orders canaries as `summed_scores` does; with samples it gains.

    Args:
        shown: (T, m) of `Canaries.project`.
        noise_multiplier: Of the plan.
        sample_rate: Chance of a canary that takes part to be in a step.

    Raises:
        ValueError: if noise is not above 0, or the rate not in (0, 1].
    """
    if not (noise_multiplier > 0 and 0 < sample_rate <= 1):
        raise ValueError(
            f"Expected noise_multiplier > 0 and 0 < sample_rate <= 1, got {noise_multiplier} and "
            f"{sample_rate}."
        )
    ratios = (2 * shown - 1) / (2 * noise_multiplier**2)
    if sample_rate < 1:
        out = np.full_like(ratios, np.log1p(-sample_rate))
        ratios = logsumexp([ratios + np.log(sample_rate), out], axis=0)
    total: Numbers = ratios.sum(0)
    return total
