"""Combines that some owners cannot move at will, whatever they send.

They look at single updates: with secure aggregation nobody could form them, and with noise on each
update honest owners differ by that noise, behind which a hostile one can hide. They keep every
update until the round ends: memory is 4 bytes a number and owner, and some copies of one tensor.

Sources: Yin et al. 2018 (arXiv:1803.01498), Definitions 1 and 2; Blanchard et al. 2017, *Machine
Learning with Adversaries* (NeurIPS). How many updates Multi-Krum may average: Damaskinos et al.
2019, *AggregaThor* (MLSys).
"""

from dataclasses import dataclass, field

import torch

from discreet.aggregation.mean import Mean
from discreet.aggregation.states import Shapes, State, check_shapes
from discreet.errors import FederationError


@dataclass(slots=True)
class _Kept:
    """The updates of a round, all of them."""

    shapes: Shapes
    hostile: int
    _updates: list[State] = field(default_factory=list, repr=False)

    @property
    def count(self) -> int:
        """Return how many updates were added."""
        return len(self._updates)

    def add(self, update: State) -> None:
        """Keep one more update."""
        check_shapes(update, self.shapes)
        self._updates.append({name: update[name].float() for name in self.shapes})

    def _require(self, least: int) -> None:
        """Refuse a round in which hostile owners would be too many."""
        if self.count < least:
            raise FederationError(
                f"Expected {least} or more updates to withstand {self.hostile} hostile owners, got "
                f"{self.count}. Raise min_replies, or lower hostile_owners."
            )


class TrimmedMean(_Kept):
    """The mean of each coordinate without its `hostile` largest and smallest values."""

    def result(self) -> State:
        """Return the trimmed mean.

        Raises:
            FederationError: if nothing would be left.
        """
        self._require(2 * self.hostile + 1)
        return self._trim(self.hostile)

    def _trim(self, cut: int) -> State:
        """Return the mean of each coordinate without `cut` values at either end."""
        last = self.count - cut
        return {
            name: torch.stack([u[name] for u in self._updates])
            .sort(0)
            .values[cut:last]
            .mean(0, dtype=torch.float64)
            .float()
            for name in self.shapes
        }


class Median(TrimmedMean):
    """The median of each coordinate; of an even number, the mean of the two in the middle."""

    def result(self) -> State:
        """Return the median.

        Raises:
            FederationError: if hostile owners could be half of all or more.
        """
        self._require(2 * self.hostile + 1)
        return self._trim((self.count - 1) // 2)


class MultiKrum(_Kept):
    """The mean of the n - f - 2 updates that lie closest to others, f being hostile.

    An update's score is the sum of its squared distances to its n - f - 2 nearest others, over all
    tensors together; the lowest count. Of equal scores, the shorter update comes first.
    """

    def result(self) -> State:
        """Return the mean of the updates that were chosen.

        Raises:
            FederationError: if fewer than 2 f + 3 updates were added.
        """
        self._require(2 * self.hostile + 3)
        mean = Mean(self.shapes)
        for index in self.chosen():
            mean.add(self._updates[index])
        return mean.result()

    def chosen(self) -> tuple[int, ...]:
        """Return which updates count, by the order in which they were added."""
        closest = self.count - self.hostile - 2
        distances = self._distances()
        scores = distances.sort(1).values[:, 1 : closest + 1].sum(1)
        lengths = [_squared_length(update) for update in self._updates]
        ranked = sorted(range(self.count), key=lambda i: (float(scores[i]), lengths[i]))
        return tuple(sorted(ranked[:closest]))

    def _distances(self) -> torch.Tensor:
        """Return (n, n) float64 squared distances."""
        distances = torch.zeros(self.count, self.count, dtype=torch.float64)
        for i, one in enumerate(self._updates):
            for j, other in enumerate(self._updates[:i]):
                apart = {n: one[n].double() - other[n].double() for n in one}
                distances[i, j] = distances[j, i] = _squared_length(apart)
        return distances


def _squared_length(update: State) -> float:
    """Return the squared length over all tensors together, in float64."""
    return sum(float(tensor.double().square().sum()) for tensor in update.values())
