"""Steps as Opacus takes them, from gradients to noise: what the private step is compared with.

`hooks`: gradients of examples by hooks, one backward pass. `fast_gradient` and `ghost`: the first
backward pass finds norms, the second sums losses with weights that clip. With ghost clipping the
norms come from products of activations and no gradient of an example is formed; with fast gradient
clipping each layer's is formed and dropped.

For comparison only: an example that is not finite makes a step non-finite, and each layer that
learns has to see one row an example.

Source: Li et al. 2022, ghost clipping (arXiv:2110.05679); Lee and Kifer 2021, fast gradient
clipping (arXiv:2009.03106).
"""

from contextlib import ExitStack
from typing import Literal, Self, get_args

import torch
from opacus.grad_sample import GradSampleHooks, GradSampleHooksFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping
from torch import nn

from discreet.privacy.batching import ExampleLosses
from discreet.privacy.opacus_gradients import prepared, without_warning
from discreet.privacy.plan import PrivacyPlan

OpacusWay = Literal["hooks", "fast_gradient", "ghost"]


class OpacusStep:
    """Takes in losses, releases one noisy update; the model has hooks while it is entered."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        plan: PrivacyPlan,
        *,
        way: OpacusWay,
    ) -> None:
        """Wrap an optimizer.

        Args:
            model: Each layer that learns is called once for a batch, with one row an example.
            optimizer: Of what learns.
            plan: Norm, noise and divisor.
            way: How gradients are clipped.
        """
        if way not in get_args(OpacusWay):
            raise ValueError(f"Expected a way of {get_args(OpacusWay)}, got {way!r}.")
        self._model = model
        self._way = way
        self._max_grad_norm = plan.max_grad_norm
        kind = DPOptimizer if way == "hooks" else DPOptimizerFastGradientClipping
        self._optimizer = kind(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.max_grad_norm,
            expected_batch_size=plan.expected_batch_size,
            loss_reduction="mean",  # divides by expected_batch_size; the losses are summed
        )
        self._entered = ExitStack()
        self._hooks: GradSampleHooks | None = None

    def __enter__(self) -> Self:
        """Put hooks on the model."""
        self._entered.enter_context(prepared(self._model))
        if self._way == "hooks":
            self._hooks = GradSampleHooks(self._model, loss_reduction="sum")
        else:
            self._hooks = GradSampleHooksFastGradientClipping(
                self._model,
                loss_reduction="sum",
                max_grad_norm=self._max_grad_norm,
                use_ghost_clipping=self._way == "ghost",
            )
        self._entered.callback(self._hooks.remove_hooks)
        return self

    def __exit__(self, *raised: object) -> None:
        """Remove all traces."""
        self._entered.close()

    def accumulate(self, losses: ExampleLosses) -> int:
        """Run the backward pass or passes of a batch; return 0, as no example is rejected."""
        with without_warning():
            if self._way == "hooks":
                losses.values.sum().backward()
            else:
                DPTensorFastGradientClipping(
                    self._hooks, self._optimizer, losses.values, "sum"
                ).backward()
        return 0

    def update(self) -> None:
        """Add noise to the clipped sum and move the parameters."""
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
