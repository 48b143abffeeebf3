"""The mean is the mean, for whoever sends something usable; the others are named and left out."""

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from flwr.app import Array, Message
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from discreet.errors import BudgetExhausted, FederationError
from discreet.federated import AdapterAveraging, RoundReport, RunningMean, State, messages
from federated.conftest import SHAPES, Behaviour, filled, nodes, says
from federated.tiny import FROZEN, tiny_config

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)


def average(
    *behaviours: Behaviour, min_replies: int = 1, num_rounds: int = 1, rounds_done: int = 0
) -> tuple[State, list[RoundReport]]:
    """Run rounds over nodes that behave so; return the last state and the reports."""
    reports: list[RoundReport] = []
    config = tiny_config(
        num_owners=len(behaviours), min_replies=min_replies, node_wait_seconds=0.01
    )
    strategy = AdapterAveraging(
        config,
        SHAPES,
        frozen_hash=FROZEN,
        rounds_done=rounds_done,
        on_round=lambda _, __, r: reports.append(r),
    )
    grid = nodes(*behaviours)
    with grid.activated():
        result = strategy.start(
            grid=grid, initial_arrays=messages.pack(filled(0.0)), num_rounds=num_rounds
        )
    return messages.unpack(result.arrays, SHAPES), reports


def spoiled(change: Callable[[Message], object], value: float = 1e6) -> Behaviour:
    """A node whose answer is changed after it was built."""

    def train(request: Message) -> Message:
        reply = says(filled(value))(request)
        change(reply)
        return reply

    return train


def fails(error: Exception) -> Behaviour:
    def train(request: Message) -> Message:
        raise error

    return train


def arrays_of(reply: Message) -> "dict[str, Array]":
    return reply.content.array_records["arrays"]


NOT_A_NUMBER = Array(np.full(4, np.nan, np.float32))
BAD: dict[str, tuple[Behaviour, str]] = {
    "wrong shape": (
        spoiled(lambda r: arrays_of(r).update(b=Array(np.ones(5, np.float32)))),
        "'b' of shape",
    ),
    "missing key": (spoiled(lambda r: arrays_of(r).pop("b")), "1 are missing"),
    "extra key": (
        spoiled(lambda r: arrays_of(r).update(c=Array(np.ones(1, np.float32)))),
        "1 are not known",
    ),
    "NaN": (spoiled(lambda r: arrays_of(r).update(b=NOT_A_NUMBER)), "finite values in 'b'"),
    "no metrics": (spoiled(lambda r: r.content.pop("metrics")), "steps"),
    "exception": (fails(RuntimeError("Jane Doe")), "RuntimeError"),
    "spent budget": (fails(BudgetExhausted("x")), "BudgetExhausted"),
}


@given(
    stack=hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=FLOATS),
)
def test_running_mean_equals_the_mean_of_all(
    stack: "np.ndarray[tuple[int, int], np.dtype[np.float32]]",
) -> None:
    mean = RunningMean({"w": (3,)})
    for row in stack:
        mean.add({"w": torch.from_numpy(row.copy())})
    expected = stack.astype(np.float64).mean(axis=0).astype(np.float32)
    got = mean.mean()["w"]
    assert got.dtype == torch.float32
    np.testing.assert_array_max_ulp(got.numpy(), expected, maxulp=1)


def test_running_mean_keeps_small_values_beside_large_ones() -> None:
    mean = RunningMean({"w": (1,)})
    for value in (1e8, 1.0, -1e8, 1.0):
        mean.add({"w": torch.tensor([value])})
    assert mean.mean()["w"].item() == 0.5


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="got none"):
        RunningMean(SHAPES).mean()


def test_the_mean_does_not_touch_what_was_added() -> None:
    mean, first = RunningMean(SHAPES), filled(1.0)
    mean.add(first)
    mean.add(filled(3.0))
    assert torch.equal(first["a"], filled(1.0)["a"])


def test_every_owner_has_the_same_weight() -> None:
    state, _ = average(says(filled(1.0), steps=1), says(filled(4.0), steps=1000))
    assert torch.equal(state["a"], filled(2.5)["a"])


def test_a_weight_that_a_node_claims_is_ignored() -> None:
    def boast(reply: Message) -> None:
        reply.content.metric_records["metrics"]["num-examples"] = 10**9

    state, reports = average(says(filled(1.0)), spoiled(boast, value=1000.0))
    assert torch.equal(state["b"], filled(500.5)["b"])
    assert reports[0].dropped == {}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_reply_is_dropped_and_its_node_named(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour, reason = BAD[fault]
    with caplog.at_level(logging.WARNING, logger="discreet"):
        state, reports = average(says(filled(1.0)), behaviour, says(filled(3.0)))
    assert torch.equal(state["a"], filled(2.0)["a"])
    assert list(reports[0].dropped) == [1001]
    assert reason in reports[0].dropped[1001]
    assert set(reports[0].statements) == {1000, 1002}
    assert "node 1001 dropped" in caplog.text
    assert "Jane" not in caplog.text


@pytest.mark.parametrize("fault", set(BAD) - {"spent budget"})
def test_too_few_usable_replies_are_an_error_that_names_the_nodes(fault: str) -> None:
    with pytest.raises(FederationError, match=r"expected 2 or more usable replies, got 1.*1001"):
        average(says(filled(1.0)), BAD[fault][0], min_replies=2)


def test_spent_budgets_end_the_rounds() -> None:
    spent = fails(BudgetExhausted("x"))
    with pytest.raises(BudgetExhausted, match="2 owners have no budget left"):
        average(spent, spent)
    with pytest.raises(BudgetExhausted, match="fewer than 2 can still train"):
        average(spent, says(filled(1.0)), min_replies=2)


def test_a_broken_node_beside_a_spent_one_is_still_an_error() -> None:
    with pytest.raises(FederationError):
        average(fails(BudgetExhausted("x")), says(filled(1.0)), fails(OSError()), min_replies=2)


def test_rounds_go_on_from_the_number_given() -> None:
    asked: list[int] = []

    def note(request: Message) -> Message:
        asked.append(messages.read_request(request).server_round)
        return says(filled(1.0))(request)

    _, reports = average(note, num_rounds=2, rounds_done=4)
    assert asked == [5, 6] == [report.server_round for report in reports]


def test_too_few_nodes_are_waited_for_and_then_an_error() -> None:
    config = tiny_config(num_owners=3, min_replies=2, node_wait_seconds=0.01)
    grid = nodes(says(filled(1.0)))
    with grid.activated(), pytest.raises(FederationError, match="got 1 after"):
        AdapterAveraging(config, SHAPES, frozen_hash=FROZEN).start(grid, messages.pack(filled(0.0)))


class Rude(AdapterAveraging):
    """Gets a reply twice, one from a stranger, and none from a node."""

    def aggregate_train(self, server_round: int, replies: object) -> object:
        first, second, _ = replies
        stranger = says(filled(9.0))(
            messages.ask(arrays(), server_round=1, frozen_hash=FROZEN, node_id=5)
        )
        again = says(filled(9.0))(
            messages.ask(arrays(), server_round=1, frozen_hash=FROZEN, node_id=1000)
        )
        return super().aggregate_train(server_round, [first, again, stranger, second])


def arrays() -> object:
    return messages.pack(filled(0.0))


def test_a_node_counts_once_and_a_stranger_not_at_all() -> None:
    reports: list[RoundReport] = []
    config = tiny_config(num_owners=3, node_wait_seconds=0.01)
    strategy = Rude(
        config, SHAPES, frozen_hash=FROZEN, on_round=lambda _, __, report: reports.append(report)
    )
    grid = nodes(says(filled(1.0)), says(filled(3.0)), says(filled(5.0)))
    with grid.activated():
        result = strategy.start(grid=grid, initial_arrays=arrays(), num_rounds=1)
    assert torch.equal(messages.unpack(result.arrays, SHAPES)["a"], filled(2.0)["a"])
    assert reports[0].dropped == {1002: "NoReply"}
