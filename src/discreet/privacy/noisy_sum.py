"""One private step of a model: losses in, clipped and blurred gradients, and the update by them."""

from contextlib import AbstractContextManager
from typing import Protocol, Self

import torch
from torch import nn

from discreet.privacy.batching import ExampleLosses
from discreet.privacy.example_gradients import Rows
from discreet.privacy.gaussian import GaussianMean
from discreet.privacy.plan import PrivacyPlan
from discreet.privacy.randomness import CounterGenerator


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
    """Takes in losses, releases one noisy update (see `gaussian` for what is added to the sum)."""

    def __init__(
        self,
        sums: GradientSums,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        noise_generator: CounterGenerator,
    ) -> None:
        self._sums = sums
        self._optimizer = optimizer
        self._mean = GaussianMean(
            plan, sums.size, noise_generator, device=sums.parameters[0].device
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return self._sums.parameters

    @property
    def max_grad_norm(self) -> float:
        """The clipping norm of the step that is coming."""
        return self._mean.max_grad_norm

    @property
    def released_loss(self) -> float | None:
        """The noisy mean loss of the last step, which may leave; None: the plan releases none."""
        return self._mean.released_loss

    def __enter__(self) -> Self:
        """Prepare the model."""
        self._sums.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave no gradient behind; after an exception it would be one without noise."""
        self._sums.__exit__(*raised)
        self._mean.forget()
        for parameter in self.parameters:
            parameter.grad = None

    def accumulate(self, losses: ExampleLosses) -> int:
        """Add the clipped gradients of some examples to the sum; return how many were rejected."""
        rejected = self._sums.add_clipped(
            losses.values, losses.rows, self._mean.total, self.max_grad_norm
        )
        self._mean.count(drawn=len(losses.values), within=self._sums.within)
        self._mean.add_losses(losses.values)
        return rejected

    def update(self) -> bool:
        """Add noise to the sum, move the parameters and start a new sum.

        Returns:
            Whether the optimizer was given a gradient other than zero.
        """
        mean = self._mean.release()
        parts = mean.split([parameter.numel() for parameter in self.parameters])
        for parameter, gradient in zip(self.parameters, parts, strict=True):
            parameter.grad = gradient.view_as(parameter).to(parameter.dtype)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return bool(mean.any())
