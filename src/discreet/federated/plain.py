"""Local training without clipping and noise, with the loop and the sampling of the private one.

For baselines, and for plans that hide whole owners: there the clipping and the noise are of an
owner's update, and follow outside. Nothing that this gives may leave a device without them.

    >>> weight = torch.nn.Parameter(torch.tensor(0.0))
    >>> targets = torch.tensor([1.0, 2.0, 3.0])
    >>> sgd = torch.optim.SGD([weight], lr=0.1)
    >>> train_plainly(lambda drawn: (weight - targets[list(drawn)]) ** 2, sgd,
    ...               draw=lambda: [0, 1, 2], steps=50, expected_batch_size=3)
    >>> round(weight.item(), 2)
    2.0
"""

from collections.abc import Callable

import torch

from discreet.privacy import Draw, ExampleLosses, LossFn, StepRecord, run_steps


def train_plainly(
    loss_of: LossFn,
    optimizer: torch.optim.Optimizer,
    *,
    draw: Draw,
    steps: int,
    expected_batch_size: int,
    max_physical_batch: int = 8,
    on_step: Callable[[StepRecord], None] | None = None,
) -> None:
    """Take `steps` steps on the sum of the losses over `expected_batch_size`.

    Args:
        loss_of: Indices of N examples -> their losses (N,).
        optimizer: Holds what learns. What is left in its gradients, of another owner say, goes.
        draw: Decides which examples are in a step.
        steps: How many.
        expected_batch_size: Divisor of every step, however many examples are drawn.
        max_physical_batch: Examples in memory at once. Changes speed, not the result.
        on_step: Told about each step; what it is told must not leave the device.
    """

    def accumulate(losses: ExampleLosses) -> int:
        (losses.values.sum() / expected_batch_size).backward()
        return 0

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    optimizer.zero_grad(set_to_none=True)
    run_steps(
        loss_of,
        accumulate,
        update,
        draw=draw,
        steps=steps,
        max_physical_batch=max_physical_batch,
        on_step=on_step,
    )
