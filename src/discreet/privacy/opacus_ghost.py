"""The Gaussian mechanism of one step by Opacus' two backward passes: for comparison only.

The first pass finds the norm of each example's gradient, the second sums the losses with weights
that clip. With ghost clipping the norms come from products of activations and no gradient of an
example is formed; with fast gradient clipping each layer's is formed and dropped.

Source: Li et al. 2022, ghost clipping (arXiv:2110.05679); Lee and Kifer 2021, fast gradient
clipping (arXiv:2009.03106).
"""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

import torch
from opacus.grad_sample import GradSampleHooksFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import nn

from discreet.privacy.batching import ExampleLosses
from discreet.privacy.opacus_sum import check_rows, hooked, quiet_backward, rows_per_example
from discreet.privacy.plan import PrivacyPlan


class OpacusGhost:
    """Takes in losses, releases one noisy update; the model has hooks while it is entered.

    An example that is not finite makes the update non-finite: no data of people may train here.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        noise_generator: torch.Generator,
        *,
        ghost: bool = True,
    ) -> None:
        """Wrap an optimizer.

        Args:
            model: Each layer that learns is called once for a batch, with one row an example.
            optimizer: Of what learns.
            plan: Norm, noise and divisor.
            noise_generator: Decides the noise.
            ghost: Ghost clipping; False: fast gradient clipping.
        """
        self._optimizer = DPOptimizerFastGradientClipping(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.max_grad_norm,
            expected_batch_size=plan.expected_batch_size,
            loss_reduction="mean",  # divides by expected_batch_size; the losses are summed
            generator=noise_generator,
        )
        self.parameters: list[nn.Parameter] = self._optimizer.params
        self._model = model
        self._max_grad_norm = plan.max_grad_norm
        self._ghost = ghost
        self._layers: list[nn.Module] = []
        self._hooks = ExitStack()
        self._attached: GradSampleHooksFastGradientClipping | None = None

    def __enter__(self) -> Self:
        """Put hooks on the model."""
        self._layers, self._attached = self._hooks.enter_context(
            hooked(
                self._model,
                lambda: GradSampleHooksFastGradientClipping(
                    self._model,
                    loss_reduction="sum",
                    max_grad_norm=self._max_grad_norm,
                    use_ghost_clipping=self._ghost,
                ),
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove all traces."""
        self._hooks.__exit__(kind, error, trace)

    def accumulate(self, losses: ExampleLosses) -> int:
        """Add the clipped gradients of some examples to the sum.

        Returns:
            0: none is rejected.

        Raises:
            RuntimeError: if layers see other rows than one for each example, in order.
        """
        count = len(losses.values)
        if (each := rows_per_example(losses.rows, count)) != 1:
            raise RuntimeError(f"Expected one row an example, got {each}. Use engine='flat'.")
        check_rows(self._layers, count)
        with quiet_backward():
            DPTensorFastGradientClipping(
                self._attached, self._optimizer, losses.values, "sum"
            ).backward()
        self._optimizer.signal_skip_step(do_skip=True)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return 0

    def update(self) -> None:
        """Add noise to the sum, move the parameters and start a new sum."""
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
