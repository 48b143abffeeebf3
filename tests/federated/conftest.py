"""Runs, nodes and rounds for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp

from discreet.artifacts import RunFolder
from discreet.federated import (
    Checkpoint,
    LocalGrid,
    OnEvent,
    RoundReport,
    State,
    TrainConfig,
    make_codec,
    messages,
)
from discreet.federated.coordinator import Coordinator
from discreet.federated.local import FIRST_NODE_ID
from discreet.federated.terms import Terms
from discreet.privacy import CounterGenerator, PrivacyLedger
from discreet.types import PrivacyStatement
from federated.tiny import FROZEN, tiny_config

Behaviour = Callable[[Message], Message]
SHAPES = {"a": (2, 3), "b": (4,)}


def statement(epsilon: float = 1.0) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )


def filled(value: float) -> State:
    return {name: torch.full(shape, value) for name, shape in SHAPES.items()}


def packed(state: State, codec: str = "float32") -> ArrayRecord:
    return messages.pack(state, make_codec(codec), CounterGenerator.seeded("a test"))


def round_of(request: Message) -> int:
    return int(request.content.config_records["config"]["server-round"])


def says(state: State, steps: int = 3, epsilon: float = 1.0, ahead: int = 0) -> Behaviour:
    """A node that sends this update whatever it is asked, `ahead` rounds too early."""
    return lambda ask: messages.answer(
        ask,
        packed(state),
        server_round=round_of(ask) + ahead,
        steps=steps,
        statement=statement(epsilon),
    )


def fails(error: Exception) -> Behaviour:
    def train(request: Message) -> Message:
        raise error

    return train


def nodes(*behaviours: Behaviour) -> LocalGrid:
    """A grid whose n-th node behaves as the n-th function says."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return behaviours[context.node_id - FIRST_NODE_ID](message)

    return LocalGrid(app, [{} for _ in behaviours])


def plan_for(count: int, **changes: object) -> TrainConfig:
    """A plan that lets nodes send updates of any length."""
    settings = {"num_owners": count, "max_update_norm": 1e9, "node_wait_seconds": 0.01}
    return tiny_config(**{**settings, **changes})


def play(
    config: TrainConfig,
    *behaviours: Behaviour,
    rounds: int = 1,
    last: Checkpoint | None = None,
    ledger: PrivacyLedger | None = None,
    on_event: OnEvent | None = None,
) -> tuple[Checkpoint, list[RoundReport]]:
    """Play rounds over nodes that behave so; return where the run stands, and the reports."""
    first = filled(0.0)
    terms = Terms.of(config, first)
    state = {name: first.get(name, torch.zeros(shape)) for name, shape in terms.shapes.items()}
    last = last or Checkpoint(rounds_done=0, state=state)
    reports = []
    grid = nodes(*behaviours)
    server = Coordinator(terms, grid, frozen_hash=FROZEN, ledger=ledger, on_event=on_event)
    with grid.activated():
        for _ in range(rounds):
            last, report = server.play(last)
            reports.append(report)
    return last, reports


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")
