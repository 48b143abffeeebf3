"""The loop that private and plain training share: draw a batch, feed it in parts, update.

It computes no gradient, adds no noise and promises nothing. `fit_private` makes it private; a
plain baseline passes its own `accumulate` and `update`:

>>> import torch
>>> weight = torch.nn.Parameter(torch.tensor(0.0))
>>> optimizer = torch.optim.SGD([weight], lr=0.1)
>>> targets = torch.tensor([1.0, 2.0, 3.0])
>>> def accumulate(losses):
...     (losses.values.sum() / 3).backward()
...     return 0
>>> def update():
...     optimizer.step()
...     optimizer.zero_grad()
>>> run_steps(lambda drawn: (weight - targets[list(drawn)]) ** 2, accumulate, update,
...           draw=lambda: [0, 1, 2], steps=50)
>>> round(weight.item(), 2)
2.0
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from discreet.privacy.example_gradients import Rows, rows_of_counts
from discreet.privacy.sampling import Draw


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleLosses:
    """Losses of examples, and whose the rows are that the model saw."""

    values: torch.Tensor = field(repr=False)
    """(N,), each a function of its own example only."""
    rows: Rows = field(repr=False)
    """The example of each row, for all layers or for each part (docs/your_model.md shows how)."""


LossFn = Callable[[Sequence[int]], torch.Tensor | ExampleLosses]
"""Indices of examples -> their losses. A plain tensor (N,) says that every layer sees
`rows_per_example` rows of each example, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What happened in one step.

    All but `released_loss` is computed from the data without noise: keep it local.
    """

    step: int
    """Steps done, from 1."""
    steps: int
    """Steps asked for."""
    batch_size: int
    """Examples drawn; it changes from step to step."""
    loss: float | None
    """Mean of the finite losses; None if there is none."""
    rejected: int
    """Examples left out because their loss or gradient was not finite."""
    released_loss: float | None = None
    """Sum of clipped losses with noise, over the expected batch size: the one number here that may
    leave. None: the plan releases none."""


def run_steps(
    loss_of: LossFn,
    accumulate: Callable[[ExampleLosses], int],
    update: Callable[[], float | None],
    *,
    draw: Draw,
    steps: int,
    rows_per_example: int = 1,
    max_physical_batch: int = 8,
    before_step: Callable[[int], None] | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Run `steps` steps; each draws a batch, accumulates it in parts and updates once.

    Args:
        loss_of: Called with at most `max_physical_batch` indices; never with none.
        accumulate: Takes in the losses of one part; returns how many examples it rejected.
        update: Ends a step, and returns what may be released of its losses; called after an empty
            batch too.
        draw: Decides which examples are in a step and nothing else; called once for each.
        steps: How many updates.
        rows_per_example: Rows of each example, where `loss_of` does not say.
        max_physical_batch: Examples in memory at once. Changes speed, not the result.
        before_step: Told the number of each step, from 1, before its batch is drawn.
        on_step: Told about each step after its update.
    """
    for step in range(1, steps + 1):
        if before_step is not None:
            before_step(step)
        drawn = draw()
        seen: list[torch.Tensor] = []
        rejected = 0
        for start in range(0, len(drawn), max_physical_batch):
            part = drawn[start : start + max_physical_batch]
            losses = as_example_losses(loss_of(part), len(part), rows_per_example=rows_per_example)
            seen.append(losses.values.detach().float().cpu())
            rejected += accumulate(losses)
        released = update()
        if on_step is not None:
            on_step(
                StepRecord(
                    step=step,
                    steps=steps,
                    batch_size=len(drawn),
                    loss=_mean_of_finite(seen),
                    rejected=rejected,
                    released_loss=released,
                )
            )


def as_example_losses(
    found: torch.Tensor | ExampleLosses, count: int, rows_per_example: int = 1
) -> ExampleLosses:
    """Return what a `LossFn` gave for `count` examples, with whose the rows are.

    Raises:
        ValueError: if there is not one differentiable loss for each example.
    """
    if not isinstance(found, ExampleLosses):
        found = ExampleLosses(values=found, rows=rows_of_counts([rows_per_example] * count))
    _check_losses(found, count)
    return found


def _check_losses(losses: ExampleLosses, expected: int) -> None:
    """Refuse a loss that is a mean over the batch, or that leads to no gradient.

    Where only a tower learns and nobody in a batch has a picture, a constant is right: it adds
    nothing. To stop there would depend on who was drawn.
    """
    values, rows = losses.values, losses.rows
    if values.shape != (expected,):
        raise ValueError(
            f"Expected one loss for each of {expected} examples, got shape {tuple(values.shape)}. "
            "Reduce over tokens and rows, never over examples."
        )
    has_empty_part = isinstance(rows, Mapping) and not all(len(index) for index in rows.values())
    if not values.requires_grad and not has_empty_part:
        raise ValueError(
            "Expected losses that depend on trainable parameters, got a constant. Leave gradients "
            "on in loss_of, and attach an adapter."
        )


def _mean_of_finite(losses: list[torch.Tensor]) -> float | None:
    """Return the mean of the finite losses, None if there is none."""
    if not losses:
        return None
    together = torch.cat(losses)
    finite = together[together.isfinite()]
    return float(finite.mean()) if len(finite) else None
