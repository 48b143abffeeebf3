"""The Gaussian mechanism of one step on this project's own gradients of examples."""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import torch
from torch import nn

from discreet.privacy.batching import ExampleLosses
from discreet.privacy.example_gradients import ExampleGradients
from discreet.privacy.plan import PrivacyPlan


class NoisySum(AbstractContextManager["NoisySum"]):
    """Takes in losses, releases one noisy update; the model emits while it is entered.

    One vector holds the sum, one draw makes the noise, one division by the expected batch size
    makes the gradient (Abadi et al. 2016, Algorithm 1, arXiv:1607.00133).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        noise_generator: torch.Generator,
        *,
        capacity: int,
        grouped: bool,
    ) -> None:
        self._gradients = ExampleGradients(model, capacity=capacity, grouped=grouped)
        self._optimizer = optimizer
        self._plan = plan
        self._noise_generator = noise_generator
        first = self._gradients.parameters[0]
        self._total = torch.zeros(self._gradients.size, dtype=first.dtype, device=first.device)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What learns."""
        return self._gradients.parameters

    def __enter__(self) -> Self:
        """Let the model's layers emit."""
        self._gradients.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave no gradient behind; after an exception it would be one without noise."""
        self._gradients.__exit__(kind, error, trace)
        self._total.zero_()
        for parameter in self.parameters:
            parameter.grad = None

    def accumulate(self, losses: ExampleLosses) -> int:
        """Add the clipped gradients of some examples to the sum; return how many were rejected."""
        return self._gradients.add_clipped(
            losses.values, losses.rows, self._total, self._plan.max_grad_norm
        )

    def update(self) -> None:
        """Add noise to the sum, move the parameters and start a new sum."""
        scale = self._plan.noise_multiplier * self._plan.max_grad_norm
        noise = torch.randn(
            self._total.shape,
            generator=self._noise_generator,
            dtype=self._total.dtype,
            device=self._total.device,
        )
        mean = (self._total + scale * noise) / self._plan.expected_batch_size
        for parameter, gradient in zip(self.parameters, self._gradients.split(mean), strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._total.zero_()
