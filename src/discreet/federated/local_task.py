"""What an owner's device trains: the interface of a task, and what it is given and gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from discreet.aggregation import State
from discreet.federated.chance import chance_for
from discreet.federated.config import TrainConfig
from discreet.privacy import CounterGenerator, PrivacyLedger, StepRecord
from discreet.types import OwnerId, PrivacyStatement


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """What a round asks of an owner, besides the adapter itself."""

    server_round: int
    """Counted from 1."""
    learns: frozenset[str]
    """Names of the tensors that learn; all others stay as they are."""
    rank: int
    """Of this owner's adapter; what is beyond it is zero and stays so."""
    fingerprint: str | None = field(default=None, repr=False)
    """Hash of the owner's data, for its account; None: simulated owners."""
    correction: State | None = field(default=None, repr=False)
    """Added to each gradient once it is noisy, by name (SCAFFOLD)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalResult:
    """What one owner's training gave; `losses` never leave the device."""

    statement: PrivacyStatement | None
    """What the owner has spent; None where noise is not in the gradients but added to updates."""
    steps: int
    state: State = field(repr=False)
    losses: tuple[float, ...] = field(default=(), repr=False)
    released_loss: float | None = None
    """Mean of `StepRecord.released_loss` over the steps; None where the plan releases none."""


class LocalTask(Protocol):
    """What is trained; one object serves all owners of a process, so that the base loads once."""

    @property
    def frozen_hash(self) -> str:
        """Return a hash of all weights that do not travel; an average makes sense for one only."""

    def initial_state(self) -> State:
        """Return the first adapter, the same wherever it is called: float32, by name."""

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Train from `state` on the owner's data; reserve in the owner's account first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Callbacks on the device, for progress and local records; what they get never leaves it."""

    on_step: Callable[[OwnerId, int, StepRecord], None] | None = None
    """Called after each private step with the owner and the round."""
    on_result: Callable[[OwnerId, int, LocalResult], None] | None = None
    """Called once an owner's round is done."""
    on_failure: Callable[[OwnerId, Exception], None] | None = None
    """Called with the error, of which the server learns the class name only."""


@dataclass(frozen=True, slots=True)
class Generators:
    """Sources of chance for one owner and one round; kept apart and never recorded."""

    sampling: CounterGenerator
    noise: CounterGenerator
    wire: CounterGenerator
    """Rounds what is sent."""


def draw_generators(config: TrainConfig, *, owner: OwnerId, server_round: int) -> Generators:
    """Return generators for each use of chance: from the operating system, or from the seed.

    With `reproducible`, each owner, round and use has its own stream, so that the order in which
    owners are visited does not matter.
    """
    text = f"{config.seed}/{server_round}/{owner}"
    uses = ("sampling", "noise", "wire")
    return Generators(*(chance_for(config, f"{use}/{text}") for use in uses))
