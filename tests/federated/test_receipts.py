"""What can be used is added up; what cannot changes nothing but the list of those dropped."""

import logging
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from flwr.app import Array, Message

from discreet.errors import BudgetExhausted, FederationError
from discreet.federated import RoundReport, State, TrainConfig, messages, plan_of
from discreet.federated.bad_message import BadMessage
from discreet.federated.exchange import Incoming
from discreet.federated.plans import loss_limit
from discreet.federated.receipts import OpenUpdates, Receipts
from discreet.federated.terms import Terms
from federated.conftest import (
    Behaviour,
    fails,
    filled,
    nodes,
    packed,
    plan_for,
    play,
    says,
)
from federated.tiny import FROZEN, tiny_config


def spoiled(change: Callable[[Message], object]) -> Behaviour:
    """A node whose answer is changed after it was built."""

    def train(request: Message) -> Message:
        reply = says(filled(1e6))(request)
        change(reply)
        return reply

    return train


def arrays_of(reply: Message) -> "dict[str, Array]":
    return reply.content.array_records["arrays"]


def metrics_of(reply: Message) -> "dict[str, float]":
    return reply.content.metric_records["metrics"]


def sends(array: Array) -> Behaviour:
    return spoiled(lambda reply: arrays_of(reply).update(b=array))


BAD: dict[str, tuple[Behaviour, str]] = {
    "wrong shape": (sends(Array(np.ones(5, np.float32))), "'b' of shape"),
    "oversized": (sends(Array(np.ones(10**6, np.float32))), "bytes or less"),
    "another type": (sends(Array(np.ones(4, np.float64))), "'b' of shape"),
    "NaN": (sends(Array(np.full(4, np.nan, np.float32))), "finite values in 'b'"),
    "infinity": (sends(Array(np.full(4, np.inf, np.float32))), "finite values in 'b'"),
    "missing array": (spoiled(lambda reply: arrays_of(reply).pop("b")), "1 are missing"),
    "extra array": (
        spoiled(lambda reply: arrays_of(reply).update(c=Array(np.ones(1, np.float32)))),
        "1 are not known",
    ),
    "no metrics": (spoiled(lambda reply: reply.content.pop("metrics")), "Expected steps"),
    "no arrays": (spoiled(lambda reply: reply.content.pop("arrays")), "one array record"),
    "more epsilon than planned": (says(filled(1.0), epsilon=8.1), "within the plan's epsilon"),
    "more delta than planned": (
        spoiled(lambda reply: metrics_of(reply).update(delta=1e-4)),
        "within the plan's epsilon",
    ),
    "another round": (says(filled(1.0), ahead=-1), "of this round"),
    "other steps": (says(filled(1.0), steps=4), "an update of 3 steps"),
    "too long": (says(filled(1e9)), "Expected an update of length 1e+09 or less"),
    "exception": (fails(RuntimeError("Jane Doe")), "RuntimeError"),
    "spent budget": (fails(BudgetExhausted("x")), "BudgetExhausted"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_reply_is_dropped_and_its_node_named(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    behaviour, reason = BAD[fault]
    with caplog.at_level(logging.WARNING, logger="discreet"):
        now, (report,) = play(plan_for(3), says(filled(1.0)), behaviour, says(filled(3.0)))
    assert torch.equal(now.state["a"], filled(2.0)["a"])
    assert list(report.dropped) == [1001]
    assert reason in report.dropped[1001]
    assert set(report.statements) == set(report.steps) == {1000, 1002}
    assert "node 1001 dropped" in caplog.text
    assert "Jane" not in caplog.text


@pytest.mark.parametrize("fault", sorted(set(BAD) - {"spent budget"}))
def test_too_few_usable_replies_are_an_error_that_names_the_nodes(fault: str) -> None:
    with pytest.raises(FederationError, match=r"expected 2 or more usable replies, got 1.*1001"):
        play(plan_for(2, min_replies=2), says(filled(1.0)), BAD[fault][0])


def test_of_two_nodes_with_one_update_the_second_is_dropped() -> None:
    """A copy of a neighbour's update, or one owner behind two nodes, has one voice."""
    now, (report,) = play(plan_for(3), says(filled(1.0)), says(filled(1.0)), says(filled(4.0)))
    assert torch.equal(now.state["b"], filled(2.5)["b"])
    assert "a copy of another node's" in report.dropped[1001]


def test_a_copy_of_an_update_that_was_dropped_is_no_copy() -> None:
    twice = says(filled(1.0), steps=-1), says(filled(1.0))
    now, (report,) = play(plan_for(2), *twice)
    assert list(report.dropped) == [1000]
    assert torch.equal(now.state["b"], filled(1.0)["b"])


def test_owners_who_learnt_nothing_may_all_say_so() -> None:
    _, (report,) = play(plan_for(2), says(filled(0.0)), says(filled(0.0)))
    assert report.dropped == {}


def test_an_honest_update_is_within_the_limit_and_a_boosted_one_is_not() -> None:
    """Left out, the limit is four times what a plan lets one expect (`plans.update_limit`)."""
    config = tiny_config(num_owners=2, node_wait_seconds=0.01)
    limit = 4 * 3 * 0.1 * (1 + plan_of(config).noise_multiplier * 10**0.5 / 10)
    honest, boosted = (filled(part * limit / 10**0.5) for part in (0.99, 1.01))
    _, (report,) = play(config, says(honest), says(boosted))
    assert list(report.dropped) == [1001]


def test_spent_budgets_end_the_rounds() -> None:
    spent = fails(BudgetExhausted("x"))
    with pytest.raises(BudgetExhausted, match="2 owners have no budget left"):
        play(plan_for(2), spent, spent)
    with pytest.raises(BudgetExhausted, match="fewer than 2 can still train"):
        play(plan_for(2, min_replies=2), spent, says(filled(1.0)))


def test_a_broken_node_beside_a_spent_one_is_still_an_error() -> None:
    with pytest.raises(FederationError):
        play(
            plan_for(3, min_replies=2),
            fails(BudgetExhausted("x")),
            says(filled(1.0)),
            fails(OSError()),
        )


def receipts_of(config: TrainConfig, server_round: int = 1) -> tuple[Receipts, State]:
    terms = Terms.of(config, filled(0.0))
    taken: State = {}

    class Last:
        count = 0

        def add(self, update: State) -> None:
            taken.update(update)

        def result(self) -> State:
            return taken

    updates = OpenUpdates(terms, server_round, Last())
    return Receipts(terms, server_round, updates.accept), taken


def reply_of(node: int, update: State) -> Message:
    """A real reply of one node of a grid."""
    grid = nodes(*[says(update)] * (node - 999))
    with grid.activated():
        request = messages.ask(
            packed(filled(0.0)), server_round=1, frozen_hash=FROZEN, run="r", node_id=node
        )
        (reply,) = grid.send_and_receive([request])
    return reply


def test_a_reply_that_cannot_be_used_is_dropped_with_its_reason() -> None:
    receipts, taken = receipts_of(plan_for(2))
    assert receipts.take(Incoming(node=1000, reply=BadMessage("why"), seconds=0.0)) is None
    assert receipts.dropped == {1000: "why"}
    assert taken == {}


def test_the_size_of_a_reply_is_that_of_its_arrays() -> None:
    receipts, taken = receipts_of(plan_for(1))
    size = receipts.take(Incoming(node=1000, reply=reply_of(1000, filled(1.0)), seconds=0.0))
    assert size == messages.size_bytes_of(packed(filled(1.0)))
    assert torch.equal(taken["a"], filled(1.0)["a"])


def test_who_was_asked_and_says_nothing_is_missing_and_then_dropped() -> None:
    receipts, _ = receipts_of(plan_for(3))
    receipts.take(Incoming(node=1000, reply=reply_of(1000, filled(1.0)), seconds=0.0))
    receipts.drop(1001, "OSError")
    assert receipts.missing((1000, 1001, 1002)) == [1002]
    receipts.finish((1000, 1001, 1002), min_replies=1)
    assert receipts.report().dropped == {1001: "OSError", 1002: "NoReply"}


def test_a_report_does_not_change_afterwards() -> None:
    receipts, _ = receipts_of(plan_for(1))
    report = receipts.report(bytes_down=7, seconds=1.5)
    receipts.drop(1000, "OSError")
    assert report == RoundReport(
        server_round=1, statements={}, steps={}, dropped={}, bytes_down=7, seconds=1.5
    )


def losing(loss: float, value: float = 1.0) -> Behaviour:
    """A node that says this loss."""

    def train(request: Message) -> Message:
        reply = says(filled(value))(request)
        metrics_of(reply)["loss"] = loss
        return reply

    return train


@pytest.mark.parametrize("bad", [math.nan, 1e308, -1e308])
def test_losses_are_averaged_and_a_node_with_a_bad_one_is_dropped(bad: float) -> None:
    """Two of 1e308 would leave the range of floats; an honest loss is below four times the clip."""
    config = plan_for(4, loss_noise=30.0)
    _, (report,) = play(config, losing(0.5, 1), losing(bad, 2), losing(bad, 3), losing(2.0, 4))
    assert report.losses == {1000: 0.5, 1003: 2.0}
    assert report.loss == 1.25
    assert list(report.dropped) == [1001, 1002]


def test_a_report_of_a_plan_without_losses_has_none() -> None:
    _, (report,) = play(plan_for(2), losing(0.5, 1), losing(0.5, 2))
    assert (report.losses, report.loss) == ({}, None)


def test_a_mean_loss_out_of_a_sum_is_told_if_owners_can_have_said_it() -> None:
    """Of owners within the limit the mean is too; one who is not moves it anywhere."""
    config = plan_for(4, loss_noise=30.0)
    limit = loss_limit(config)
    for said, told in [(limit, limit), (-limit, -limit), (1.01 * limit, None), (math.nan, None)]:
        receipts, _ = receipts_of(config)
        receipts.mean_loss = said
        assert receipts.report().loss == told
