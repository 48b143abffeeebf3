"""Rules whose next state is what was sent plus the combined update; they differ in what learns.

Whatever makes one update of several fits: a mean, a robust rule, a noisy sum, a sum that only the
owners together can open.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from discreet.aggregation.rule import Accumulator, Combine, Compatibility
from discreet.aggregation.states import State, check_shapes, shapes_of

_FITS = Compatibility(
    example_dp=True, owner_dp=True, secure_aggregation=True, mixed_ranks=False, adapter_only=True
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearRule:
    """A rule that is told by what learns."""

    name: str
    """The word in the plan."""
    is_learnt: Callable[[str, int], bool]
    """Whether a tensor learns in a round."""
    compatibility: Compatibility = _FITS
    is_linear: bool = True

    def learns(self, tensor: str, server_round: int) -> bool:
        """Return whether a tensor of this name learns in a round, counted from 1."""
        return self.is_learnt(tensor, server_round)

    def start(self, previous: State, server_round: int, combine: Combine) -> Accumulator:
        """Return what takes the updates of one round; memory is that of `combine`."""
        learnt = {n: t for n, t in previous.items() if self.learns(n, server_round)}
        return _Sum(previous=previous, learnt=learnt, combine=combine)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sum:
    """What was sent, and the combined update on top."""

    previous: State = field(repr=False)
    learnt: State = field(repr=False)
    combine: Combine

    @property
    def count(self) -> int:
        """Return how many updates were added."""
        return self.combine.count

    def add(self, update: State) -> None:
        """Take one more update."""
        check_shapes(update, shapes_of(self.learnt))
        self.combine.add(update)

    def result(self) -> State:
        """Return the next state; the sum is formed in float64."""
        moved = self.combine.result()
        new = {n: (t.double() + moved[n].double()).float() for n, t in self.learnt.items()}
        return {name: new.get(name, tensor) for name, tensor in self.previous.items()}
