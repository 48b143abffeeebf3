"""A federated task of a few hundred numbers: real private steps and a real ledger, in milliseconds.

For questions about a federation that need many runs: what a rule makes of noise, what a hostile
owner can do. What comes out says which way things go, not how far they go on a vision-language
model.

    task = SmallTask(config, dict(model.named_parameters()), model, owned, loss)
    run_federation(config, run, task)
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from discreet.artifacts import RunFolder
from discreet.federated import (
    Assignment,
    LocalResult,
    LocalTask,
    State,
    TrainConfig,
    plan_of,
    run_federation,
    train_locally,
)
from discreet.privacy import LossFn, PrivacyLedger, StepRecord
from discreet.types import OwnerId

_FROZEN = "0" * 64
"""Every owner is in this process and has the same frozen numbers."""
_BATCH = 1024
"""Examples in memory at once."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What an owner has to learn from."""

    inputs: torch.Tensor
    """(N, in) float32."""
    targets: torch.Tensor
    """(N, ...): what the task's loss takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SmallTask:
    """Local training of a small module for any owner."""

    config: TrainConfig
    model: nn.Module = field(repr=False)
    places: Mapping[str, nn.Parameter] = field(repr=False)
    """Where a tensor of the state lies in the model, by its name on the wire."""
    first: State = field(repr=False)
    """The state before training."""
    owned: Mapping[OwnerId, Examples] = field(repr=False)
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = field(repr=False)
    """Takes what the model says (N, out) and the targets; returns (N,), each its own example's."""

    @property
    def frozen_hash(self) -> str:
        """Return a constant: nobody else takes part."""
        return _FROZEN

    def initial_state(self) -> State:
        """Return the state before training."""
        return {name: value.clone() for name, value in self.first.items()}

    @torch.no_grad()
    def load(self, state: State) -> None:
        """Put a state into the model."""
        for name, place in self.places.items():
            place.copy_(state[name])

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        """Train from `state` on the owner's examples; privately, unless the unit is the owner."""
        self.load(state)
        self.model.requires_grad_(False)
        for name in assignment.learns:
            self.places[name].requires_grad_(True)
        examples = self.owned[owner]
        statement = train_locally(
            self.config,
            plan_of(self.config),
            self.model,
            self._losses(examples),
            optimizer=self._optimizer(),
            owner=owner,
            assignment=assignment,
            ledger=ledger,
            num_examples=len(examples.inputs),
            max_physical_batch=_BATCH,
            on_step=on_step,
        )
        trained = {name: place.detach().clone() for name, place in self.places.items()}
        return LocalResult(statement=statement, steps=self.config.local_steps, state=trained)

    def _losses(self, examples: Examples) -> LossFn:
        def losses(indices: Sequence[int]) -> torch.Tensor:
            rows = torch.tensor(indices)
            return self.loss(self.model(examples.inputs[rows]), examples.targets[rows])

        return losses

    def _optimizer(self) -> torch.optim.Optimizer:
        learning = [place for place in self.places.values() if place.requires_grad]
        return torch.optim.SGD(learning, lr=self.config.learning_rate)


def state_after(config: TrainConfig, task: LocalTask) -> State:
    """Return what all rounds of a plan make, in a run folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return run_federation(config, RunFolder.create(Path(folder) / "run"), task).state
