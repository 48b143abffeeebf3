"""Gradients of examples that Opacus computes by hooks, clipped and summed as all others are.

Slower than `ExampleGradients`, and for layers that see one row for each row of an example only; a
second, independent way to the same sum (`engine="opacus"`).
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import torch
from opacus.grad_sample import GradSampleHooks
from torch import nn

from discreet.privacy.clipping import clip_and_sum
from discreet.privacy.example_gradients import Rows, rows_of_counts

_TRACES = (
    *("activations", "max_batch_len"),
    *("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample", "_norm_sample"),
)
"""What Opacus hangs on layers and parameters; it holds raw gradients."""


class OpacusGradients:
    """What `ExampleGradients` is, flat, by Opacus; the model has hooks while it is entered."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        """What learns, in the order of the model."""
        self.size = sum(p.numel() for p in self.parameters)
        """Numbers that learn, P."""
        self.within = 0
        """Gradients of the last pass that were no longer than the bound."""
        self._model = model
        self._layers: list[nn.Module] = []
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        """Put hooks on the model."""
        with ExitStack() as entered:  # which leaves no trace either if Opacus refuses the model
            self._layers = entered.enter_context(prepared(self._model))
            hooks = GradSampleHooks(self._model, loss_reduction="sum", strict=True)
            entered.callback(hooks.remove_hooks)
            self._hooks = entered.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        """Remove all traces."""
        self._hooks.close()

    def add_clipped(
        self, losses: torch.Tensor, rows: Rows, total: torch.Tensor, max_grad_norm: float
    ) -> int:
        """Add the clipped gradients of some examples to `total`; return how many were rejected.

        Arguments are those of `ExampleGradients.add_clipped`.

        Raises:
            RuntimeError: if layers see other rows than texts, the same number for each example.
        """
        count = len(losses)
        each = rows_per_example(rows, count)
        self._check_rows(count * each)
        with without_warning():
            losses.sum().backward()
        gradients = torch.cat([self._fold(p, count, each).flatten(1) for p in self.parameters], 1)
        for parameter in self.parameters:
            parameter.grad_sample = parameter.grad = None  # type: ignore[attr-defined]
        found = clip_and_sum(gradients, max_grad_norm, bad=~losses.detach().isfinite())
        total += found.total
        self.within = found.within
        return int(found.is_bad.sum())

    def _check_rows(self, rows: int) -> None:
        """Refuse a layer that saw another number of rows: Opacus would pad it without a word."""
        for layer in self._layers:
            for inputs in getattr(layer, "activations", ()):
                if inputs and len(inputs[0]) != rows:
                    raise RuntimeError(_bad_rows(rows, str(len(inputs[0]))))

    def _fold(
        self, parameter: nn.Parameter, num_examples: int, rows_per_example: int
    ) -> torch.Tensor:
        """Return the gradients of examples, (N, *shape), from those of rows, (N * R, *shape)."""
        rows = num_examples * rows_per_example
        found = getattr(parameter, "grad_sample", None)
        if not isinstance(found, torch.Tensor) or len(found) != rows:
            got = "none" if found is None else str(len(found))
            raise RuntimeError(_bad_rows(rows, got))
        by_row = found.detach().to(parameter.dtype)
        return by_row.reshape(num_examples, rows_per_example, *parameter.shape).sum(dim=1)


def rows_per_example(rows: Rows, examples: int) -> int:
    """Return how many rows each example has, where all have as many and stand in order.

    Raises:
        RuntimeError: if they do not; Opacus would be silently wrong.
    """
    index = rows if isinstance(rows, torch.Tensor) else None
    each = 0 if index is None else len(index) // examples
    if index is None or not torch.equal(index, rows_of_counts([each] * examples)):
        raise RuntimeError(
            "Expected each example to have the same number of rows, the same in every layer, got "
            "others: Opacus takes the first dimension for the batch. Use engine='flat'."
        )
    return each


def _bad_rows(rows: int, got: str) -> str:
    """Return why gradients of single examples cannot be told apart."""
    return (
        f"Expected each trainable layer to see the {rows} rows of the examples in its first "
        f"dimension, got {got}. Use engine='flat', which knows whose rows they are."
    )


@contextmanager
def without_warning() -> Iterator[None]:
    """Let Opacus' hooks see a backward pass in silence."""
    with warnings.catch_warnings():
        # The first adapted layer reads frozen activations. That its hook sees gradients of outputs
        # only is all that is needed: Opacus multiplies them with the activations it kept.
        warnings.filterwarnings("ignore", message="Full backward hook is firing when gradients")
        yield


@contextmanager
def prepared(model: nn.Module) -> Iterator[list[nn.Module]]:
    """Switch layers that learn to training mode, and remove all traces of Opacus at the end.

    Yields the layers whose parameters learn. Opacus ignores a layer in evaluation mode; the rest of
    the model keeps its modes.
    """
    layers = [
        module
        for module in model.modules()
        if any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    ]
    modes = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.training = True
        yield layers
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
        for holder in (*layers, *model.parameters()):
            for name in _TRACES:
                vars(holder).pop(name, None)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = None  # after an exception it is the sum without noise
