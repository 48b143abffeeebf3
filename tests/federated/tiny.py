"""A real federated task small enough for a test: two linear layers, real DP-SGD, real ledger."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from torch import nn

from discreet.aggregation import RULES
from discreet.federated import (
    Assignment,
    LocalResult,
    State,
    TrainConfig,
    train_locally,
)
from discreet.federated.local_sgd import LocalSgd
from discreet.privacy import PrivacyLedger, PrivacyPlan, StepRecord, calibrate
from discreet.types import OwnerId

EXAMPLES = 20
FROZEN = "f" * 64


def tiny_config(**changes: object) -> TrainConfig:
    """A plan of two owners, two rounds of three steps, drawn from the seed."""
    plan: dict[str, object] = {
        "base": "tiny",
        "num_owners": 2,
        "min_replies": 1,
        "num_rounds": 2,
        "local_steps": 3,
        "sample_rate": 0.5,
        "expected_batch_size": 10,
        "learning_rate": 0.1,
        "max_grad_norm": 1.0,
        "node_wait_seconds": 30.0,
        "reproducible": True,
    }
    return TrainConfig.from_mapping({**plan, **changes})


@functools.cache
def plan_of(config: TrainConfig) -> PrivacyPlan:
    return calibrate(
        target_epsilon=config.target_epsilon,
        delta=config.delta,
        sample_rate=config.sample_rate,
        steps=config.steps_total,
        expected_batch_size=config.expected_batch_size,
        max_grad_norm=config.max_grad_norm,
        accountant="rdp",
        loss_noise=config.loss_noise,
        loss_clip=config.loss_clip,
    )


def assignment_of(
    config: TrainConfig, state: State, server_round: int = 1, rank: int | None = None
) -> Assignment:
    """What the plan's rule lets learn of an adapter."""
    rule = RULES[config.aggregation]
    learns = frozenset(name for name in state if rule.learns(name, server_round))
    return Assignment(server_round=server_round, learns=learns, rank=rank or config.lora_r)


class TinyTask:
    """Owners learn the same line from points of their own."""

    def __init__(
        self, config: TrainConfig, data: Path | None = None, root: Path | None = None
    ) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self._initial = {n: p.detach().clone() for n, p in self.model.named_parameters()}

    @property
    def frozen_hash(self) -> str:
        return FROZEN

    def initial_state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self._initial.items()}

    def points_of(self, owner: OwnerId) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(int(owner.rpartition("-")[2]) + 1)
        inputs = torch.randn(EXAMPLES, 3, generator=generator)
        return inputs, inputs.sum(1)

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        self.model.load_state_dict(state)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in assignment.learns)
        inputs, targets = self.points_of(owner)
        losses: list[float] = []
        released: list[float] = []

        def loss_of(indices: Sequence[int]) -> torch.Tensor:
            rows = torch.tensor(indices)
            return (self.model(inputs[rows]).squeeze(1) - targets[rows]) ** 2

        def record(step: StepRecord) -> None:
            losses.append(float("nan") if step.loss is None else step.loss)
            if step.released_loss is not None:
                released.append(step.released_loss)
            if on_step:
                on_step(step)

        statement = train_locally(
            self.config,
            plan_of(self.config),
            self.model,
            loss_of,
            optimizer=self.optimizer(assignment),
            owner=owner,
            assignment=assignment,
            ledger=ledger,
            num_examples=len(inputs),
            on_step=record,
        )
        trained = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        return LocalResult(
            statement=statement,
            steps=self.config.local_steps,
            state=trained,
            losses=tuple(losses),
            released_loss=fmean(released) if released else None,
        )

    def optimizer(self, assignment: Assignment) -> LocalSgd:
        return LocalSgd(
            {n: p for n, p in self.model.named_parameters() if p.requires_grad},
            learning_rate=self.config.learning_rate,
            proximal_mu=self.config.proximal_mu,
            correction=assignment.correction,
        )
