"""A secure sum over Flower messages: what comes out, who may leave, and what the server sees."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from flwr.app import Message
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from discreet.artifacts import RunFolder
from discreet.errors import FederationError
from discreet.federated import (
    Assignment,
    LocalGrid,
    LocalResult,
    Outcome,
    State,
    TrainConfig,
    client_app,
    messages,
    plan_of,
    read_checkpoint,
    run_federation,
    secure,
)
from discreet.federated.bad_message import BadMessage
from discreet.federated.plans import loss_limit
from discreet.federated.rounds import drive
from discreet.federated.secure import FixedPoint
from discreet.federated.site import OwnerSite
from discreet.federated.terms import Terms
from discreet.privacy import CounterGenerator, PrivacyLedger, StepRecord
from discreet.types import OwnerId
from federated.tiny import FROZEN, TinyTask, tiny_config

ALARM = 1e-6
"""Chance of a false alarm of a statistical test; keys are drawn anew each time."""
SIZE = 20_000
COINS = CounterGenerator.seeded("no noise is drawn from it")
TRAIN = "train"
PATIENT = {"secagg_timeout_seconds": 60.0, "round_timeout_seconds": 60.0}
"""For rounds in which nothing is lost."""
STAGES = {
    "keys": f"query.{secure.KEYS}",
    "shares": f"query.{secure.SHARES}",
    "masked numbers": TRAIN,
    "unmasking": f"query.{secure.UNMASK}",
}


def secret_config(**changes: object) -> TrainConfig:
    settings = {
        "num_owners": 4,
        "min_replies": 3,
        "num_rounds": 1,
        "secure_aggregation": True,
        "secagg_timeout_seconds": 1.0,
        "round_timeout_seconds": 1.0,
    }
    return tiny_config(**{**settings, **changes})


def of_owners(**changes: object) -> TrainConfig:
    """A plan that hides owners by noise of their own."""
    hidden = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}
    return secret_config(**{**hidden, **changes})


class LinearTask:
    """Owner k moves all of a wide adapter by k + 1; no data, no noise of its own."""

    frozen_hash = FROZEN

    def initial_state(self) -> State:
        return {"w": torch.zeros(SIZE)}

    def train(
        self,
        state: State,
        *,
        owner: OwnerId,
        assignment: Assignment,
        ledger: PrivacyLedger,
        on_step: Callable[[StepRecord], None] | None,
    ) -> LocalResult:
        moved = int(owner.rpartition("-")[2]) + 1.0
        return LocalResult(statement=None, steps=3, state={"w": state["w"] + moved})


@dataclass
class Line:
    """What crossed, and the messages that are lost on the way: node and kind."""

    lost: set[tuple[int, str]] = field(default_factory=set)
    replies: list[Message] = field(default_factory=list)
    requests: list[Message] = field(default_factory=list)

    def of(self, kind: str) -> list[Message]:
        return [r for r in self.replies if r.metadata.message_type == kind]


class Lossy(LocalGrid):
    """A grid on which some replies never arrive."""

    line: Line

    def pull_messages(self, message_ids: object) -> list[Message]:
        replies = []
        for reply in super().pull_messages(message_ids):
            name = (reply.metadata.src_node_id, reply.metadata.message_type)
            if name not in self.line.lost:
                self.line.replies.append(reply)
                replies.append(reply)
        return replies

    def call_node(self, message: Message) -> Message:
        self.line.requests.append(message)
        return super().call_node(message)


def federate(
    config: TrainConfig,
    run: RunFolder,
    line: Line,
    task: object = None,
    kind: type[Lossy] = Lossy,
) -> tuple[Outcome, Lossy]:
    task = task or TinyTask(config)
    app = client_app(lambda *_: task, config=config, ledger=run.ledger_path)
    grid = kind(app, [{"partition-id": index} for index in range(config.num_owners)])
    grid.line = line
    with grid.activated():
        return drive(config, run, task, grid), grid


def longest(one: State, other: State) -> float:
    return max(float((one[n] - other[n]).abs().max()) for n in one)


@pytest.mark.parametrize("aggregation", ["ffa", "fedit"])
def test_the_secure_sum_is_the_plain_sum_up_to_the_grid(run: RunFolder, aggregation: str) -> None:
    config = secret_config(aggregation=aggregation, num_rounds=2)
    plain = tiny_config(num_owners=4, min_replies=3, num_rounds=2, aggregation=aggregation)
    masked, _ = federate(config, run, Line())
    opened = run_federation(plain, RunFolder.create(run.path.parent / "plain"), TinyTask(plain))
    task = TinyTask(config)
    form = secure.sum_form(Terms.of(config, task.initial_state()), 1)
    assert isinstance(form, FixedPoint)
    assert longest(masked.state, opened.state) < 2 * form.grid + 1e-6
    assert longest(masked.state, task.initial_state()) > 1000 * form.grid


@pytest.mark.parametrize("stage", STAGES)
def test_a_member_may_leave_at_any_stage(run: RunFolder, stage: str) -> None:
    """Whose masked numbers came is in the mean, whoever else leaves, and nobody else is."""
    config = secret_config(max_update_norm=1e6)
    line = Line(lost={(1001, STAGES[stage])})
    outcome, _ = federate(config, run, line, Stated(config))
    counted = (1, 2, 3, 4) if stage == "unmasking" else (1, 3, 4)
    expected = sum(counted) / len(counted)
    assert outcome.state["w"].numpy() == pytest.approx(expected, abs=0.01)
    dropped = [line for line in run.read_metrics() if line["name"] == "dropped"]
    faults = [line for line in run.read_metrics() if line["name"] == "fault"]
    noted, other = (faults, dropped) if stage == "unmasking" else (dropped, faults)
    assert [(line["node"], line["reason"]) for line in noted] == [(1001, "NoReply")]
    assert other == []


@pytest.mark.parametrize("action", [secure.KEYS, secure.SHARES])
@pytest.mark.parametrize("extra", ["of its own", "to an earlier attempt"])
def test_an_answer_that_is_too_large_or_to_something_else_is_dropped(
    run: RunFolder, action: str, extra: str
) -> None:
    class Spoiled(Lossy):
        def call_node(self, message: Message) -> Message:
            reply = super().call_node(message)
            is_his = message.metadata.dst_node_id == 1001
            if is_his and message.metadata.message_type.endswith(action):
                if extra == "of its own":
                    reply.content.config_records["parts"]["x"] = bytes(5000)
                else:
                    reply.metadata.__dict__["_group_id"] = "0" * 32
            return reply

    config = secret_config(max_update_norm=1e6)
    outcome, _ = federate(config, run, Line(), Stated(config), kind=Spoiled)
    assert outcome.state["w"].numpy() == pytest.approx((1 + 3 + 4) / 3, abs=0.01)
    (dropped,) = [line for line in run.read_metrics() if line["name"] == "dropped"]
    assert dropped["node"] == 1001
    assert ("bytes or less" if extra == "of its own" else "nonce") in dropped["reason"]


class Stated(LinearTask):
    """Says that it spent what was planned."""

    def __init__(self, config: TrainConfig) -> None:
        self.plan = plan_of(config)

    def train(self, state: State, **given: object) -> LocalResult:
        result = super().train(state, **given)
        return LocalResult(statement=self.plan.state(1.0), steps=result.steps, state=result.state)


@pytest.mark.parametrize("stage", STAGES)
def test_below_the_threshold_nothing_is_averaged(run: RunFolder, stage: str) -> None:
    line = Line(lost={(node, STAGES[stage]) for node in (1001, 1002)})
    config = secret_config()
    with pytest.raises(FederationError):
        federate(config, run, line)
    assert read_checkpoint(run) is None
    assert len(line.of(STAGES["unmasking"])) <= 2, "too few shares to take a mask off"


def test_owners_add_the_planned_noise_and_pay_for_it(run: RunFolder) -> None:
    """False alarm: 5.5 standard errors of a standard deviation from 20,000 numbers, 4e-8."""
    config = of_owners(reproducible=False)
    outcome, _ = federate(config, run, Line(), LinearTask())
    noise = outcome.state["w"].double() - 1 / math.sqrt(SIZE)  # all clipped to one direction
    plan = plan_of(config)
    per_owner = plan.noise_multiplier * plan.max_grad_norm / math.sqrt(config.min_replies)
    planned = per_owner * math.sqrt(4) / 4
    assert float(noise.square().mean().sqrt()) == pytest.approx(
        planned, rel=5.5 / math.sqrt(2 * SIZE)
    )
    ledger = PrivacyLedger.open(run.ledger_path)
    assert ledger.owners() == tuple(f"owner-{index}" for index in range(4))
    for owner in ledger.owners():
        spent = ledger.spent(owner)
        assert (spent.unit, spent.neighbouring_relation) == ("owner", "zero_out_one")
        assert 0 < spent.epsilon <= config.target_epsilon


def test_with_hostile_owners_each_adds_more_noise() -> None:
    """Honest ones have to reach the planned noise without those who tell theirs."""
    shapes = {"w": torch.zeros(100)}
    trusting, careful = (
        secure.sum_form(Terms.of(of_owners(min_replies=4, hostile_owners=h), shapes), 1)
        for h in (0, 1)
    )
    ratio = careful.deviation / trusting.deviation
    assert ratio == pytest.approx(math.sqrt(4 / 3))


def flatness(data: bytes) -> float:
    """Return the chance of bytes at least as uneven as these, were they uniform."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    return float(stats.chisquare(counts).pvalue)


def masked_words(reply: Message) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]":
    return messages.read_words(reply.content.array_records["arrays"], SIZE)


def test_what_the_server_gets_of_one_owner_is_flat(run: RunFolder) -> None:
    config, line = secret_config(max_update_norm=1e6), Line()
    task = Stated(config)
    federate(config, run, line, task)
    replies = line.of(TRAIN)
    assert len(replies) == 4
    form = secure.sum_form(Terms.of(config, task.initial_state()), 1)
    for index, reply in enumerate(replies):
        words = masked_words(reply)
        plain = form.encode({"w": torch.full((SIZE,), index + 1.0)}, COINS)
        assert flatness(plain.tobytes()) < ALARM < flatness(words.tobytes())
        assert len(np.unique(words)) > SIZE - 100
        assert set(reply.content) == {"arrays", "metrics"}
        assert set(reply.content.array_records["arrays"]) == {"masked"}


def test_keys_and_shares_say_nothing_of_the_update(run: RunFolder) -> None:
    """They are drawn before there is one, and are as long whatever it is."""
    config = secret_config(max_update_norm=1e6)
    lengths = []
    for folder in ("one", "other"):
        line = Line()
        federate(config, RunFolder.create(run.path / folder), line, Stated(config))
        kinds = [r.metadata.message_type for r in line.replies]
        assert kinds.index(TRAIN) > max(
            n for n, kind in enumerate(kinds) if kind in (STAGES["keys"], STAGES["shares"])
        )
        parts = [messages.read_parts(r) for r in line.replies if r.metadata.message_type != TRAIN]
        lengths.append([{name: len(part) for name, part in each.items()} for each in parts])
    assert lengths[0] == lengths[1]


def test_a_members_secrets_are_gone_once_the_round_is(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, kept = secret_config(max_update_norm=1e6), []
    call_node = Lossy.call_node

    def look(grid: Lossy, message: Message) -> Message:
        site = OwnerSite.of_node(grid._contexts[message.metadata.dst_node_id], run.ledger_path)
        kept.append(site.sum_path.exists())
        return call_node(grid, message)

    monkeypatch.setattr(Lossy, "call_node", look)
    _, grid = federate(config, run, Line(), Stated(config))
    assert kept == [False] * 4 + [True] * 12, "from the first message to the last there are some"
    assert [dict(context.state) for context in grid._contexts.values()] == [{}] * 4
    assert not list(run.path.glob("*.sum"))


def test_each_round_has_keys_of_its_own(run: RunFolder) -> None:
    config, line = secret_config(num_rounds=2, max_update_norm=1e6), Line()
    federate(config, run, line, Stated(config))
    keys = [messages.read_parts(reply)["keys"] for reply in line.of(STAGES["keys"])]
    rounds = {messages.read_parts(r)["round-id"] for r in line.requests if is_keys(r)}
    assert (len(keys), len(set(keys)), len(rounds)) == (8, 8, 2)


def is_keys(request: Message) -> bool:
    return bool(request.metadata.message_type == STAGES["keys"])


@pytest.mark.parametrize("count", [2, 5])
def test_a_member_joins_no_group_but_one_of_the_plans_size(run: RunFolder, count: int) -> None:
    """In a group of two the sum is the other's update, once a server subtracts its own."""
    config = secret_config()
    app = client_app(lambda *_: TinyTask(config), config=config, ledger=run.ledger_path)
    grid = LocalGrid(app, [{"partition-id": index} for index in range(count)])
    nodes = range(1000, 1000 + count)
    with grid.activated():
        keys = ask(grid, secure.KEYS, {node: {"round-id": b"r" * 16} for node in nodes})
        shown = {node: messages.read_parts(reply)["keys"] for node, reply in keys.items()}
        about = {"ids": json.dumps(list(nodes)).encode(), "size": b"21"}
        questions = {
            node: about | {f"member/{o}": shown[o] for o in nodes if o != node} for node in nodes
        }
        replies = ask(grid, secure.SHARES, questions)
    assert {messages.refusal_of(reply) for reply in replies.values()} == {"BadMessage"}


def ask(grid: LocalGrid, action: str, parts: dict[int, dict[str, bytes]]) -> dict[int, Message]:
    sent = [
        messages.ask_parts(action, part, server_round=1, node_id=node)
        for node, part in parts.items()
    ]
    return {reply.metadata.src_node_id: reply for reply in grid.send_and_receive(sent)}


@pytest.mark.parametrize("action", [secure.SHARES, secure.UNMASK])
def test_a_device_without_a_round_has_nothing_to_say(run: RunFolder, action: str) -> None:
    config = secret_config()
    app = client_app(lambda *_: TinyTask(config), config=config, ledger=run.ledger_path)
    grid = LocalGrid(app, [{"partition-id": 0}])
    with grid.activated():
        replies = ask(grid, action, {1000: {"ids": b"[]", "size": b"1"}})
    assert messages.refusal_of(replies[1000]) == "BadMessage"


@given(
    values=st.lists(
        st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4), min_size=1, max_size=6
    )
)
def test_a_sum_of_whole_numbers_is_the_mean_up_to_half_a_step(values: list[list[float]]) -> None:
    form = FixedPoint(shapes={"b": (1,), "a": (3,)}, owners=6, limit=6.0)
    updates = [{"a": torch.tensor(row[:3]), "b": torch.tensor(row[3:])} for row in values]
    total = np.zeros(4, np.uint32)
    for update in updates:
        total += form.encode(update, COINS)
    mean = form.decode(total, len(updates))
    for name, tensor in mean.items():
        exact = torch.stack([update[name].double() for update in updates]).mean(0)
        assert tensor.shape == form.shapes[name]
        assert float((tensor - exact).abs().max()) <= form.grid / 2 + 1e-6


def test_a_longer_update_is_shortened_and_sums_do_not_wrap() -> None:
    form = FixedPoint(shapes={"a": (1,)}, owners=3, limit=2.0)
    total = sum(form.encode({"a": torch.tensor([1e9])}, COINS) for _ in range(3))
    assert form.decode(total, 3)["a"].item() == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_not_sent(bad: float) -> None:
    form = FixedPoint(shapes={"a": (2,)}, owners=3, limit=2.0)
    with pytest.raises(ValueError, match="Expected finite numbers"):
        form.encode({"a": torch.tensor([bad, 0.0])}, COINS)


def test_an_open_sum_takes_no_further_update() -> None:
    with pytest.raises(ValueError, match="no further update"):
        secure.Opened(count=1, mean={}).add({})


def test_masked_numbers_of_another_length_are_refused(run: RunFolder) -> None:
    config = secret_config()
    terms = Terms.of(config, TinyTask(config).initial_state())
    total = secure.SecureSum(terms, LocalGrid(client_app(TinyTask), []), 1, (1, 2, 3, 4))
    for words in (np.zeros(20, np.uint32), np.zeros(21, np.uint32)):
        with pytest.raises(BadMessage):
            total.accept(1, messages.words_record(words))


def test_of_losses_the_server_sees_the_mean(run: RunFolder) -> None:
    """As many as in a plain run, from the same noise; no reply has one beside the masked words."""
    changes = {"loss_noise": 30.0, "num_rounds": 2}
    config, line = secret_config(**changes, **PATIENT), Line()
    masked, _ = federate(config, run, line)
    plain = tiny_config(num_owners=4, min_replies=3, **changes)
    other = RunFolder.create(run.path.parent / "plain")
    opened = run_federation(plain, other, TinyTask(plain))
    assert longest(masked.state, opened.state) < 1e-4
    losses = [x for x in run.read_metrics() if x["name"] == "loss"]
    wanted = [x for x in other.read_metrics() if x["name"] == "loss" and "node" not in x]
    assert [set(x) for x in losses] == [{"round", "name", "value", "visibility"}] * 2
    assert [x["value"] for x in losses] == pytest.approx([x["value"] for x in wanted], abs=1e-6)
    numbers = sum(value.numel() for value in masked.state.values()) + 1
    for reply in line.of(TRAIN):
        assert "loss" not in reply.content.metric_records["metrics"]
        assert len(messages.read_words(reply.content.array_records["arrays"], numbers)) == numbers


def test_a_loss_does_not_shorten_an_update(run: RunFolder) -> None:
    """It has a grid of its own, so that neither takes room from the other."""

    class Loud(Stated):
        def train(self, state: State, **given: object) -> LocalResult:
            return replace(super().train(state, **given), released_loss=1e12)

    config = secret_config(max_update_norm=1e6, loss_noise=30.0, **PATIENT)
    outcome, _ = federate(config, run, Line(), Loud(config))
    assert outcome.state["w"].numpy() == pytest.approx(2.5, abs=0.01)
    (loss,) = (x["value"] for x in run.read_metrics() if x["name"] == "loss")
    assert loss == pytest.approx(loss_limit(config), rel=1e-6)


def test_a_released_loss_is_one_number_more() -> None:
    config = secret_config(loss_noise=30.0)
    task = TinyTask(config)
    terms = Terms.of(config, task.initial_state())
    learnt = sum(value.numel() for value in task.initial_state().values())
    assert secure.words_in(terms, 1) == learnt + 1
