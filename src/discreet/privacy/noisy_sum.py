"""The Gaussian mechanism of one step: clipped sums in, a noisy mean out, and the update by it."""

import math
from contextlib import AbstractContextManager
from typing import Protocol, Self

import torch
from torch import nn

from discreet.privacy.banded import BandedNoise, banded_coefficients
from discreet.privacy.batching import ExampleLosses
from discreet.privacy.clipping import grid_of
from discreet.privacy.example_gradients import Rows
from discreet.privacy.plan import PrivacyPlan
from discreet.privacy.randomness import CounterGenerator

CLIP_RATE = 0.2
"""How fast an adaptive clipping norm follows; that of Andrew et al. 2021, section 3."""
_COUNT_GRID = 2**20
"""Parts of 1 to which the noise of a count is rounded; the count is a multiple of 1/2."""
_ALARM = 8.0
"""Standard errors that the noise's variance may be off; beyond lies a chance below 1e-12."""
_ENOUGH = 1000
"""Numbers from which a variance says something."""


class GradientSums(Protocol):
    """A way to the clipped sums of gradients; the model is prepared while it is entered."""

    parameters: list[nn.Parameter]
    """What learns; a sum holds their gradients one after the other."""
    size: int
    """Numbers that learn, P."""
    within: int
    """Gradients of the last pass that were no longer than the bound."""

    def __enter__(self) -> Self:
        """Prepare the model."""

    def __exit__(self, *raised: object) -> None:
        """Leave no trace on the model."""

    def add_clipped(
        self, losses: torch.Tensor, rows: Rows, total: torch.Tensor, max_grad_norm: float
    ) -> int:
        """Add clipped gradients to `total`; return how many examples were rejected."""


class NoisySum(AbstractContextManager["NoisySum"]):
    """Takes in losses, releases one noisy update.

    One vector holds the sum, one draw makes the noise, one division by the expected batch size
    makes the gradient (Abadi et al. 2016, Algorithm 1, arXiv:1607.00133). Sum and noise are on one
    grid, so that no low-order bit of the result depends on the data alone (see `clipping`).

    With `plan.clip_quantile` the clipping norm follows that quantile of the gradients' norms, by
    a count that has noise of its own (Andrew et al. 2021, Algorithm 1, arXiv:1905.03871). With
    `plan.bands` the noise of a step takes back part of the noise of the steps before it.
    """

    def __init__(
        self,
        sums: GradientSums,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        noise_generator: CounterGenerator,
    ) -> None:
        self._sums = sums
        self._optimizer = optimizer
        self._plan = plan
        self._generator = noise_generator
        self._banded = BandedNoise(banded_coefficients(plan.bands)) if plan.bands > 1 else None
        self.max_grad_norm = plan.max_grad_norm
        """The clipping norm of the step that is coming."""
        device = sums.parameters[0].device
        self._total = torch.zeros(sums.size, dtype=torch.float64, device=device)
        self._drawn = self._within = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return self._sums.parameters

    def __enter__(self) -> Self:
        """Prepare the model."""
        self._sums.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave no gradient behind; after an exception it would be one without noise."""
        self._sums.__exit__(*raised)
        self._total.zero_()
        self._drawn = self._within = 0
        for parameter in self.parameters:
            parameter.grad = None

    def accumulate(self, losses: ExampleLosses) -> int:
        """Add the clipped gradients of some examples to the sum; return how many were rejected."""
        rejected = self._sums.add_clipped(
            losses.values, losses.rows, self._total, self.max_grad_norm
        )
        self._drawn += len(losses.values)
        self._within += self._sums.within
        return rejected

    def update(self) -> bool:
        """Add noise to the sum, move the parameters and start a new sum.

        Returns:
            Whether the optimizer was given a gradient other than zero.
        """
        mean = (self._total + self._noise()) / self._plan.expected_batch_size
        parts = mean.split([parameter.numel() for parameter in self.parameters])
        for parameter, gradient in zip(self.parameters, parts, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._follow_quantile()
        self._total.zero_()
        self._drawn = self._within = 0
        return bool(mean.any())

    def _noise(self) -> torch.Tensor:
        """Return (P,) float64 on the grid of the sum."""
        fresh = self._generator.normal(self._sums.size)
        _check_variance(fresh)
        if self._banded is not None:
            fresh = self._banded.correlate(fresh)
        grid = grid_of(self.max_grad_norm, self._sums.size)
        scale = self._plan.gradient_noise_multiplier * self.max_grad_norm / grid
        return (fresh * scale).round_().mul_(grid).to(self._total.device)

    def _follow_quantile(self) -> None:
        """Move the clipping norm towards the wanted share of gradients within it, privately."""
        quantile = self._plan.clip_quantile
        if quantile is None:
            return
        noise = self._plan.clip_count_noise * float(self._generator.normal(1))
        noise = round(noise * _COUNT_GRID) / _COUNT_GRID
        half = self._within - self._drawn / 2  # one example moves it by 1/2
        share = (half + noise) / self._plan.expected_batch_size + 0.5
        self.max_grad_norm *= math.exp(-CLIP_RATE * (share - quantile))


def _check_variance(noise: torch.Tensor) -> None:
    """Refuse noise that is not as strong as promised: a broken generator must not go unseen."""
    error = abs(float(noise.square().mean()) - 1) / (2 / len(noise)) ** 0.5
    if len(noise) >= _ENOUGH and not error < _ALARM:
        raise RuntimeError(
            f"Expected noise of variance 1, got one that is {error:.0f} standard errors away. Do "
            "not use what this process trained; check the installation of cryptography and torch."
        )
