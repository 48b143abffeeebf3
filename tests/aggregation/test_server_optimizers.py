"""Server optimizers: as published, as Flower's, and as if nobody had stopped in between."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvgM
from hypothesis import given
from hypothesis import strategies as st

from discreet.aggregation import SERVER_OPTIMIZERS, State, make_server_optimizer
from discreet.aggregation.server_optimizers import BETA_2, TAU
from discreet.errors import ArtifactCorrupt
from discreet.federated import LocalGrid

SHAPES = {"a": (2, 3), "b": (4,)}
LATE = 100_000
"""A round by which Flower's correction for zero starts, which the paper does not have, is 1."""


def drawn(count: int, seed: int = 0, scale: float = 0.01) -> list[State]:
    draw = torch.Generator().manual_seed(seed)
    return [
        {n: scale * torch.randn(s, generator=draw) for n, s in SHAPES.items()} for _ in range(count)
    ]


def plus(state: State, change: State) -> State:
    return {n: state[n] + change[n] for n in state}


@dataclass
class Steps:
    """States after each step, and the changes as float32 holds them beside the state."""

    states: list[State]
    changes: list[dict[str, np.ndarray]]


def run(name: str, changes: list[State], *, rate: float, momentum: float) -> Steps:
    optimizer = make_server_optimizer(name, learning_rate=rate, momentum=momentum)
    state, steps = {n: torch.ones(s) for n, s in SHAPES.items()}, Steps([], [])
    for change in changes:
        proposed = plus(state, change)
        steps.changes.append({n: (proposed[n].double() - state[n]).numpy() for n in SHAPES})
        state = optimizer.step(state, proposed, list(SHAPES))
        steps.states.append(state)
    return steps


def assert_same(ours: State, theirs: dict[str, np.ndarray]) -> None:
    for name in SHAPES:
        np.testing.assert_allclose(ours[name].numpy(), theirs[name], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS)
@given(rate=st.floats(0.01, 2), momentum=st.floats(0, 0.99), seed=st.integers(0, 100))
def test_they_are_those_of_the_papers_written_as_a_loop(
    name: str, rate: float, momentum: float, seed: int
) -> None:
    """Reddi et al. 2021, Algorithm 2 (FedAdam); Hsu et al. 2019 (FedAvgM)."""
    steps = run(name, drawn(5, seed), rate=rate, momentum=momentum)
    x = {k: np.ones(s) for k, s in SHAPES.items()}
    velocity = {k: np.zeros(s) for k, s in SHAPES.items()}
    m = {k: np.zeros(s) for k, s in SHAPES.items()}
    v = {k: np.full(s, TAU**2) for k, s in SHAPES.items()}
    for state, change in zip(steps.states, steps.changes, strict=True):
        for k, d in change.items():
            velocity[k] = momentum * velocity[k] + d
            m[k] = momentum * m[k] + (1 - momentum) * d
            v[k] = BETA_2 * v[k] + (1 - BETA_2) * d**2
            x[k] += (
                rate
                * {
                    "none": d,
                    "momentum": velocity[k],
                    "adam": m[k] / (np.sqrt(v[k]) + TAU),
                }[name]
            )
        assert_same(state, x)


def replies_with(state: State) -> list[Message]:
    """Replies of two nodes that both trained to `state`."""
    arrays = ArrayRecord({n: Array(t.numpy()) for n, t in state.items()})
    content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
    grid = LocalGrid(ClientApp(), [])
    asked = [grid.create_message(RecordDict(), MessageType.TRAIN, node, "") for node in (1, 2)]
    return [Message(content, reply_to=ask) for ask in asked]


def flower_steps(strategy: FedAvgM | FedAdam, changes: list[State]) -> list[dict[str, np.ndarray]]:
    """What a strategy of Flower's makes of the same changes."""
    state, found = {n: torch.ones(s) for n, s in SHAPES.items()}, []
    for change in changes:
        arrays = ArrayRecord({n: Array(t.numpy()) for n, t in state.items()})
        strategy.current_arrays = (
            {n: t.numpy() for n, t in state.items()} if isinstance(strategy, FedAdam) else arrays
        )
        with LocalGrid(ClientApp(), []).activated():
            result, _ = strategy.aggregate_train(LATE, replies_with(plus(state, change)))
        state = {n: torch.from_numpy(result[n].numpy().astype(np.float32)) for n in SHAPES}
        found.append({n: t.numpy() for n, t in state.items()})
    return found


def test_momentum_is_that_of_flower() -> None:
    changes = drawn(4)
    theirs = flower_steps(FedAvgM(server_learning_rate=0.5, server_momentum=0.8), changes)
    steps = run("momentum", changes, rate=0.5, momentum=0.8)
    for ours, other in zip(steps.states, theirs, strict=True):
        assert_same(ours, other)


def test_adam_is_that_of_flower_but_for_its_start() -> None:
    """Flower starts the second moment at zero and corrects for it; the paper starts at TAU**2."""
    changes = drawn(4)
    strategy = FedAdam(eta=0.1, beta_1=0.9, beta_2=BETA_2, tau=TAU)
    strategy.v_t = {n: np.full(s, TAU**2) for n, s in SHAPES.items()}
    theirs = flower_steps(strategy, changes)
    steps = run("adam", changes, rate=0.1, momentum=0.9)
    for ours, other in zip(steps.states, theirs, strict=True):
        assert_same(ours, other)


def test_none_takes_what_the_rule_proposes() -> None:
    before, proposed = drawn(2, scale=1.0)
    optimizer = make_server_optimizer("none", learning_rate=1.0, momentum=0.9)
    result = optimizer.step(before, proposed, list(SHAPES))
    assert all(torch.equal(result[n], proposed[n]) for n in SHAPES)
    assert optimizer.state() == {}


@pytest.mark.parametrize("name", SERVER_OPTIMIZERS)
def test_a_run_that_was_stopped_goes_on_bit_by_bit(name: str) -> None:
    changes = drawn(6)
    whole = run(name, changes, rate=0.3, momentum=0.7)
    first = make_server_optimizer(name, learning_rate=0.3, momentum=0.7)
    state = {n: torch.ones(s) for n, s in SHAPES.items()}
    for change in changes[:3]:
        state = first.step(state, plus(state, change), list(SHAPES))
    kept = first.state()
    assert all(t.dtype == torch.float32 for t in kept.values())
    second = make_server_optimizer(name, learning_rate=0.3, momentum=0.7)
    second.load(kept)
    for change in changes[3:]:
        state = second.step(state, plus(state, change), list(SHAPES))
        first.step(state, state, list(SHAPES))  # does not touch what was handed out
    assert all(torch.equal(state[n], whole.states[-1][n]) for n in SHAPES)


def test_only_what_learnt_in_the_round_moves() -> None:
    optimizer = make_server_optimizer("momentum", learning_rate=1.0, momentum=0.9)
    state, (change, *_) = {n: torch.ones(s) for n, s in SHAPES.items()}, drawn(1)
    state = optimizer.step(state, plus(state, change), ["a", "b"])
    moved = {"a": state["a"] + change["a"], "b": state["b"]}
    result = optimizer.step(state, moved, ["a"])
    assert torch.equal(result["b"], state["b"])
    assert not torch.isclose(result["a"], moved["a"]).all()


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("none", {"momentum/a": torch.ones(1)}),
        ("momentum", {"variance/a": torch.ones(1)}),
        ("adam", {"momentum/a": torch.ones(1)}),
        ("momentum", {"momentum/a": torch.tensor([float("nan")])}),
    ],
)
def test_memory_of_another_optimizer_or_damaged_memory_is_refused(name: str, state: State) -> None:
    with pytest.raises(ArtifactCorrupt, match=f"server optimizer {name}"):
        make_server_optimizer(name, learning_rate=1.0, momentum=0.9).load(state)


@pytest.mark.parametrize(
    ("name", "rate", "momentum"),
    [("lamb", 1.0, 0.9), ("adam", 0.0, 0.9), ("adam", float("nan"), 0.9), ("momentum", 1.0, 1.0)],
)
def test_words_and_numbers_out_of_range_are_refused(
    name: str, rate: float, momentum: float
) -> None:
    with pytest.raises(ValueError, match="Expected"):
        make_server_optimizer(name, learning_rate=rate, momentum=momentum)
