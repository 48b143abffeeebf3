"""Measure what one record can change: take it out of random batches and look at the clipped sum.

A step is private because its sum, before noise, moves by at most `max_grad_norm` when one record is
added or left out. That is a definition, so that it can be tried on any mechanism without knowing
how it works. Nothing found is no proof; something found is a broken promise.

    >>> values = torch.tensor([0.5, -3.0, 40.0])
    >>> def clipped(batch):
    ...     return values[list(batch)].clamp(-1, 1).sum().view(1)
    >>> fuzz_sensitivity(clipped, draw_batches(3), max_grad_norm=1.0, trials=20, seed=0).is_bounded
    True
    >>> def mean(batch):
    ...     return values[list(batch)].mean().view(1)
    >>> report = fuzz_sensitivity(mean, draw_batches(3), max_grad_norm=1.0, trials=20, seed=0)
    >>> report.is_bounded, report.largest > 10
    (False, True)
"""

import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from discreet.privacy.batching import LossFn
from discreet.privacy.exactness import with_rows
from discreet.privacy.example_gradients import ExampleGradients
from discreet.privacy.plan import require_count

TOLERANCE = 1e-4
"""Relative to `max_grad_norm`; float32 gradients of an example differ by some 1e-6 of their length
from batch to batch. In bfloat16 it is up to 1e-2 for each of the examples that stay."""
ClippedSum = Callable[[Sequence[int]], torch.Tensor]
"""Indices of records -> the sum (P,) of their clipped gradients, before noise."""
DrawBatch = Callable[[torch.Generator], tuple[Sequence[int], int]]
"""A batch of one record or more, and the place in it of the record to leave out."""
_CRASHES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SensitivityReport:
    """What the largest change was that one record made."""

    trials: int
    """Pairs of neighbouring batches."""
    largest: float
    """Longest move of the sum, in units of `max_grad_norm`; infinity if a sum was not finite."""
    largest_batch: str
    """The batch that made it, in the words of `describe`."""
    crashes: tuple[str, ...]
    """Kinds and places of errors, and the first batch that made each."""
    tolerance: float
    """How much above 1 is taken for rounding."""

    @property
    def is_bounded(self) -> bool:
        """Return whether every batch was computed, and no record moved the sum too far.

        A sum that never moved was not measured.
        """
        return not self.crashes and 0 < self.largest <= 1 + self.tolerance


def fuzz_sensitivity(
    clipped_sum: ClippedSum,
    draw: DrawBatch,
    *,
    max_grad_norm: float,
    trials: int,
    seed: int,
    tolerance: float = TOLERANCE,
    describe: Callable[[Sequence[int]], str] | None = None,
) -> SensitivityReport:
    """Return how far one record moves a mechanism's sum, over random neighbouring batches.

    Args:
        clipped_sum: The mechanism; an error that it raises is a finding. It has to take an empty
            batch.
        draw: Makes batches, from chance alone.
        max_grad_norm: The bound that the mechanism promises.
        trials: Pairs of batches with and without one record.
        seed: Decides the batches.
        tolerance: How much above 1 is taken for rounding.
        describe: Words for a batch that name no content; its size by default.
    """
    require_count("trials", trials)
    chance = torch.Generator().manual_seed(seed)
    words = describe or _size
    largest, largest_batch = 0.0, ""
    crashes: dict[Hashable, str] = {}
    for _ in range(trials):
        batch, place = draw(chance)
        sums = []
        for neighbour in (batch, [*batch[:place], *batch[place + 1 :]]):
            try:
                sums.append(clipped_sum(neighbour).detach().double())
            except _CRASHES as error:
                crashes.setdefault(*_crash(error, words(neighbour)))
        if len(sums) < 2:
            continue
        moved = float((sums[0] - sums[1]).norm()) / max_grad_norm
        if not moved <= largest:
            largest = moved if moved == moved else float("inf")
            largest_batch = f"{words(batch)}, the one in place {place + 1} left out"
    return SensitivityReport(
        trials=trials,
        largest=largest,
        largest_batch=largest_batch,
        crashes=tuple(crashes.values()),
        tolerance=tolerance,
    )


def draw_batches(num_examples: int, *, most: int = 6) -> DrawBatch:
    """Return a source of batches of 1 to `most` examples, any of them more than once.

    A quarter of them have one example, so that leaving it out makes an empty batch.
    """
    require_count("num_examples", num_examples)
    require_count("most", most)

    def draw(generator: torch.Generator) -> tuple[list[int], int]:
        alone = bool(torch.rand((), generator=generator) < 0.25)
        size = 1 if alone else int(torch.randint(1, most + 1, (), generator=generator))
        batch = torch.randint(num_examples, (size,), generator=generator).tolist()
        return batch, int(torch.randint(size, (), generator=generator))

    return draw


def clipped_sum_of(
    model: nn.Module,
    loss_of: LossFn,
    *,
    max_grad_norm: float,
    engine: Literal["flat", "grouped"] = "flat",
    rows_per_example: int = 1,
    max_physical_batch: int = 8,
) -> ClippedSum:
    """Return the clipped sum of `fit_private`, before noise, as a function of the batch.

    Arguments and errors are those of `fit_private`.
    """
    gradients = ExampleGradients(model, capacity=max_physical_batch, grouped=engine == "grouped")
    device = gradients.parameters[0].device

    def clipped_sum(drawn: Sequence[int]) -> torch.Tensor:
        total = torch.zeros(gradients.size, dtype=torch.float64, device=device)
        with gradients:
            for start in range(0, len(drawn), max_physical_batch):
                part = drawn[start : start + max_physical_batch]
                losses = with_rows(loss_of(part), len(part), rows_per_example)
                gradients.add_clipped(losses.values, losses.rows, total, max_grad_norm)
        return total

    return clipped_sum


def _size(batch: Sequence[int]) -> str:
    return f"{len(batch)} examples"


def _crash(error: BaseException, batch: str) -> tuple[Hashable, str]:
    """Return the kind and place of an error, and words for it; its text may quote data."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
    return place, f"{place} on {batch}"
