"""Runs and nodes for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from discreet.artifacts import RunFolder
from discreet.federated import LocalGrid, State, messages
from discreet.federated.local import FIRST_NODE_ID
from discreet.types import PrivacyStatement

Behaviour = Callable[[Message], Message]
SHAPES = {"a": (2, 3), "b": (4,)}


def statement(epsilon: float = 1.0) -> PrivacyStatement:
    return PrivacyStatement(
        epsilon=epsilon, delta=1e-5, unit="example", neighbouring_relation="add_or_remove_one"
    )


def filled(value: float) -> State:
    return {name: torch.full(shape, value) for name, shape in SHAPES.items()}


def says(state: State, steps: int = 3) -> Behaviour:
    """A node that sends this state whatever it is asked."""
    return lambda ask: messages.answer(ask, state=state, steps=steps, statement=statement())


def nodes(*behaviours: Behaviour) -> LocalGrid:
    """A grid whose n-th node behaves as the n-th function says."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return behaviours[context.node_id - FIRST_NODE_ID](message)

    return LocalGrid(app, [{} for _ in behaviours])


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")
