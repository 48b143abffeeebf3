"""What an aggregation rule is: which tensors learn, and what a server makes of the updates.

The rules themselves have a file each and are listed in `rules`. An update is what an owner trained
less what was sent, over the tensors that learn in the round; every owner has the same weight.
"""

from dataclasses import dataclass
from typing import Protocol

from discreet.aggregation.states import State


@dataclass(frozen=True, kw_only=True, slots=True)
class Compatibility:
    """What a rule can be combined with."""

    example_dp: bool
    """Owners train privately: what a server does with their updates is post-processing."""
    owner_dp: bool
    """One owner can be hidden: clipping the update bounds what an owner moves in the result."""
    secure_aggregation: bool
    """The sum of the updates is all that the rule needs."""
    mixed_ranks: bool
    """Owners may have factors of fewer rows than the server's."""
    adapter_only: bool
    """The result is factors of the rank sent; otherwise there is a dense delta for each layer."""


class Combine(Protocol):
    """Makes one update of several, which arrive one at a time."""

    @property
    def count(self) -> int:
        """Return how many updates were added."""

    def add(self, update: State) -> object:
        """Take one more update; what is returned, if anything, is not looked at."""

    def result(self) -> State:
        """Return the combined update, float32, names and shapes as those that were added."""


class Accumulator(Protocol):
    """Makes the next state of a round's updates, which arrive one at a time."""

    @property
    def count(self) -> int:
        """Return how many updates were added."""

    def add(self, update: State) -> None:
        """Take one more update.

        Raises:
            ValueError: if names or shapes are not those that learn in the round; nothing is taken.
        """

    def result(self) -> State:
        """Return the whole next state, float32: what learnt, and what was sent along."""


class Rule(Protocol):
    """How the updates of a round become the next state."""

    @property
    def name(self) -> str:
        """Return the word in the plan."""

    @property
    def compatibility(self) -> Compatibility:
        """Return what the rule can be combined with."""

    @property
    def is_linear(self) -> bool:
        """Return whether the next state is the previous one and a combined update.

        Only then do robust combines, noise on the sum and server optimizers fit.
        """

    def learns(self, tensor: str, server_round: int) -> bool:
        """Return whether a tensor of this name learns in a round, counted from 1."""

    def start(self, previous: State, server_round: int, combine: Combine) -> Accumulator:
        """Return what takes the updates of one round.

        Args:
            previous: What was sent, whole.
            server_round: From 1.
            combine: Fresh, over the tensors that learn. A rule that is not linear forms means of
                its own and takes the plain mean only.

        Raises:
            ValueError: if the state lacks a factor that the rule needs, or the combine does not
                fit.
        """
