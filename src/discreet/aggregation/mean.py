"""The mean of updates that arrive one at a time, each with the same weight.

Weights by number of examples would reveal the numbers, and noise that is calibrated for equal
weights would not fit. The mean is not robust: one owner of n moves it by 1 / n of anything.

Source: McMahan et al. 2017, FedAvg (arXiv:1602.05629), with equal weights.
"""

from dataclasses import dataclass, field

import torch

from discreet.aggregation.states import Shapes, State, check_shapes


@dataclass(slots=True)
class Mean:
    """A mean summed in float64; memory: 8 bytes a number, taken with the first update."""

    shapes: Shapes
    count: int = 0
    _sums: State = field(default_factory=dict, repr=False)

    def add(self, update: State) -> None:
        """Count one more update."""
        check_shapes(update, self.shapes)
        if not self._sums:
            self._sums = {n: torch.zeros(s, dtype=torch.float64) for n, s in self.shapes.items()}
        for name, total in self._sums.items():
            total += update[name]
        self.count += 1

    def result(self) -> State:
        """Return the mean, in float32."""
        if self.count == 0:
            raise ValueError("Expected one update or more, got none. Call add() first.")
        return {name: (total / self.count).float() for name, total in self._sums.items()}
