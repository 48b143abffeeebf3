"""Rounds on the server against the same mathematics written as loops."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flwr.app import Message

from discreet.artifacts import RunFolder
from discreet.errors import BudgetExhausted
from discreet.federated import (
    Assignment,
    Checkpoint,
    Event,
    OwnerDropped,
    OwnerReplied,
    RoundStarted,
    State,
    TrainConfig,
    messages,
    plan_of,
    read_checkpoint,
    run_federation,
)
from discreet.federated.plans import SERVER
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId
from federated.conftest import Behaviour, fails, filled, packed, plan_for, play, round_of, says
from federated.tiny import TinyTask, tiny_config

VALUES = (1.0, 2.0, 30.0, 4.0, 5.0)


def close(one: State, other: State, tolerance: float = 1e-5) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(one[n], other[n], rtol=tolerance, atol=tolerance) for n in one
    )


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def hidden(value: float) -> Behaviour:
    """An owner of a plan whose server adds the noise: it states no epsilon."""
    return lambda ask: messages.answer(
        ask, packed(filled(value)), server_round=round_of(ask), steps=3, statement=None
    )


def trimmed(values: tuple[float, ...]) -> float:
    return statistics.fmean(sorted(values)[1:-1])


def krum(values: tuple[float, ...]) -> float:
    """The mean of the n - 1 that are nearest to their n - 3 nearest others (Blanchard et al.)."""
    count = len(values)

    def score(value: float) -> float:
        return sum(sorted((value - other) ** 2 for other in values)[: count - 2])

    return statistics.fmean(sorted(values, key=score)[: count - 1])


COMBINED: dict[str, Callable[[tuple[float, ...]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "trimmed_mean": trimmed,
    "multi_krum": krum,
}


@pytest.mark.parametrize("combine", COMBINED)
def test_updates_are_combined_as_the_plan_says(combine: str) -> None:
    config = plan_for(5, combine=combine, hostile_owners=int(combine != "mean"), min_replies=5)
    now, reports = play(config, *(says(filled(value)) for value in VALUES))
    assert close(now.state, filled(COMBINED[combine](VALUES)))
    assert len(reports[0].steps) == 5


def plain_optimizer(name: str, changes: list[float], rate: float, momentum: float) -> float:
    """Where a number stands after these changes (Reddi et al. 2021, Algorithm 2)."""
    at = first = 0.0
    second = 1e-6
    for change in changes:
        if name == "momentum":
            first = momentum * first + change
            at += rate * first
        elif name == "adam":
            first = momentum * first + (1 - momentum) * change
            second = 0.99 * second + 0.01 * change**2
            at += rate * first / (math.sqrt(second) + 1e-3)
        else:
            at += change
    return at


@pytest.mark.parametrize("name", ["none", "momentum", "adam"])
def test_the_servers_optimizer_follows_the_mean_update(name: str) -> None:
    config = plan_for(
        2, num_rounds=3, server_optimizer=name, server_learning_rate=0.5, server_momentum=0.8
    )

    def grows(factor: float) -> Behaviour:
        return lambda ask: says(filled(factor * round_of(ask)))(ask)

    now, _ = play(config, grows(1.0), grows(3.0), rounds=3)
    expected = plain_optimizer(name, [2.0, 4.0, 6.0], rate=0.5, momentum=0.8)
    assert close(now.state, filled(expected))


def test_every_owner_has_the_same_weight_whatever_it_claims() -> None:
    def boasts(request: Message) -> Message:
        reply = says(filled(1000.0))(request)
        reply.content.metric_records["metrics"]["num-examples"] = 10**9
        return reply

    now, reports = play(plan_for(2), says(filled(1.0)), boasts)
    assert same(now.state, filled(500.5))
    assert reports[0].dropped == {}


def test_rounds_go_on_from_where_a_checkpoint_stands() -> None:
    asked: list[int] = []

    def note(request: Message) -> Message:
        asked.append(round_of(request))
        return says(filled(1.0))(request)

    last = Checkpoint(rounds_done=4, state=filled(10.0))
    now, reports = play(plan_for(1, num_rounds=6), note, rounds=2, last=last)
    assert asked == [5, 6] == [report.server_round for report in reports]
    assert now.rounds_done == 6
    assert same(now.state, filled(12.0))
    assert same(last.state, filled(10.0)), "the former checkpoint is left as it was"


def test_watchers_are_told_of_each_owner_in_order() -> None:
    told: list[Event] = []
    play(plan_for(2), says(filled(1.0)), fails(OSError()), on_event=told.append)
    assert [type(event) for event in told] == [RoundStarted, OwnerReplied, OwnerDropped]
    assert told[0] == RoundStarted(server_round=1, num_rounds=2, asked=2)
    assert isinstance(told[1], OwnerReplied)
    assert (told[1].node, told[1].size_bytes > 40) == (1000, True)
    assert told[2] == OwnerDropped(server_round=1, node=1001, reason="OSError")


def test_bytes_are_those_of_arrays_sent_and_used() -> None:
    _, reports = play(plan_for(3), says(filled(1.0)), fails(OSError()), says(filled(2.0)))
    size = messages.size_bytes_of(packed(filled(0.0)))
    assert (reports[0].bytes_down, reports[0].bytes_up) == (3 * size, 2 * size)


def test_an_owner_is_not_asked_more_often_than_noise_was_calibrated_for() -> None:
    config = plan_for(2, num_rounds=2)
    last = Checkpoint(rounds_done=1, state=filled(0.0), taken_part={1000: 2, 1001: 2})
    with pytest.raises(BudgetExhausted, match="0 owners may still be asked"):
        play(config, says(filled(1.0)), says(filled(2.0)), last=last)


# Local rules: the federation against the same algorithm as a loop over owners.


def plain_scaffold(config: TrainConfig, folder: Path) -> State:
    """Karimireddy et al. 2020, Algorithm 1 with option II; the owners' controls are averaged."""
    task = TinyTask(config)
    state = task.initial_state()
    owners = [OwnerId(f"owner-{index}") for index in range(config.num_owners)]
    common = {name: torch.zeros_like(value) for name, value in state.items()}
    own = {owner: dict(common) for owner in owners}
    per_step = 1 / (config.local_steps * config.learning_rate)
    for server_round in range(1, config.num_rounds + 1):
        ends = []
        for owner in owners:
            end = task.train(
                state,
                owner=owner,
                assignment=Assignment(
                    server_round=server_round,
                    learns=frozenset(state),
                    rank=config.lora_r,
                    correction={n: common[n] - own[owner][n] for n in state},
                ),
                ledger=PrivacyLedger.open(folder / f"{owner}.jsonl"),
                on_step=None,
            ).state
            own[owner] = {
                n: own[owner][n] - common[n] + per_step * (state[n] - end[n]) for n in state
            }
            ends.append(end)
        state = {n: torch.stack([end[n] for end in ends]).mean(0) for n in state}
        common = {n: torch.stack([own[owner][n] for owner in owners]).mean(0) for n in state}
    return state


def test_scaffold_is_the_published_loop(run: RunFolder, tmp_path: Path) -> None:
    """The server finds the mean of the owners' controls in their updates; nobody sends one."""
    config = tiny_config(num_owners=3, num_rounds=3, local_rule="scaffold")
    outcome = run_federation(config, run, TinyTask(config))
    expected = plain_scaffold(config, tmp_path)
    assert close(outcome.state, expected)
    without = tiny_config(num_owners=3, num_rounds=3)
    other = run_federation(without, RunFolder.create(tmp_path / "sgd"), TinyTask(without))
    assert not close(other.state, expected), "or the test shows nothing"


@pytest.mark.parametrize("local_steps", [1, 4])
def test_fedprox_holds_owners_back_once_they_have_left(tmp_path: Path, local_steps: int) -> None:
    """In the first step there is nothing to hold: the anchor is where it starts."""
    moved = {}
    for rule, mu in {"sgd": 0.0, "prox": 8.0}.items():
        config = tiny_config(num_rounds=1, local_steps=local_steps, local_rule=rule, proximal_mu=mu)
        task = TinyTask(config)
        state = run_federation(config, RunFolder.create(tmp_path / rule), task).state
        start = task.initial_state()
        moved[rule] = math.sqrt(sum(float((state[n] - start[n]).square().sum()) for n in state))
    if local_steps == 1:
        assert moved["prox"] == moved["sgd"]
    else:
        assert moved["prox"] < 0.8 * moved["sgd"]


# Where the unit is the owner, the server clips, adds the noise and pays.

HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}


@pytest.fixture
def ledger(tmp_path: Path) -> PrivacyLedger:
    return PrivacyLedger.open(tmp_path / "server.jsonl")


def spread(state: State) -> float:
    row = torch.cat([value.double().flatten() for value in state.values()])
    return float(row.square().mean().sqrt())


def test_the_server_is_charged_before_anybody_is_asked(ledger: PrivacyLedger) -> None:
    seen: list[int] = []

    def look(request: Message) -> Message:
        seen.append(sum(entry.steps_counted for entry in ledger.entries(SERVER)))
        return hidden(0.5)(request)

    config = plan_for(2, num_rounds=3, **HIDDEN)
    play(config, look, hidden(0.1), rounds=2, ledger=ledger)
    assert seen == [1, 2]
    assert ledger.spent(SERVER).unit == "owner"
    assert ledger.spent(SERVER).epsilon < plan_of(config).epsilon


def test_a_round_in_which_all_fail_is_charged_and_stops_no_run(ledger: PrivacyLedger) -> None:
    """Whether a run goes on may not tell who was drawn."""
    config = plan_for(2, **HIDDEN)
    _, (report,) = play(config, fails(OSError()), fails(BudgetExhausted("x")), ledger=ledger)
    assert report.steps == {}
    assert [entry.steps_counted for entry in ledger.entries(SERVER)] == [1]


def test_a_spent_account_of_the_server_asks_nobody(ledger: PrivacyLedger) -> None:
    asked: list[Message] = []
    config = plan_for(1, num_rounds=2, **HIDDEN)

    def note(request: Message) -> Message:
        asked.append(request)
        return hidden(0.0)(request)

    with pytest.raises(BudgetExhausted):
        play(config, note, rounds=3, ledger=ledger)
    assert len(asked) == 2


def test_a_server_without_a_ledger_does_not_begin() -> None:
    with pytest.raises(ValueError, match="Expected a ledger of the server"):
        play(plan_for(1, **HIDDEN), hidden(0.0))


@pytest.mark.parametrize("failing", [0, 3])
def test_noise_is_that_of_the_plan_however_many_fail(
    failing: int, ledger: PrivacyLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """False alarm: 5.5 standard errors of a standard deviation from 20,000 numbers, 4e-8."""
    monkeypatch.setattr("federated.conftest.SHAPES", {"w": (20_000,)})
    config = plan_for(4, **HIDDEN)
    behaviours = [hidden(0.0)] + [fails(OSError())] * failing + [hidden(0.0)] * (3 - failing)
    now, reports = play(config, *behaviours, ledger=ledger)
    assert len(reports[0].dropped) == failing
    plan = plan_of(config)
    planned = plan.noise_multiplier * plan.max_grad_norm / 4
    assert spread(now.state) == pytest.approx(planned, rel=5.5 / math.sqrt(2 * 20_000))


def test_a_round_for_which_nobody_is_drawn_is_noise(ledger: PrivacyLedger) -> None:
    config = plan_for(4, owners_per_round=1, seed=1, **HIDDEN)
    events: list[Event] = []
    now, reports = play(config, *[hidden(0.0)] * 4, rounds=2, ledger=ledger, on_event=events.append)
    asked = [event.asked for event in events if isinstance(event, RoundStarted)]
    assert 0 in asked
    assert [len(report.steps) for report in reports] == asked
    assert spread(now.state) > 0


def test_an_update_is_clipped_over_all_its_tensors(ledger: PrivacyLedger) -> None:
    """Noise of one seed is the same in both runs, so that their difference is the update's."""
    config = plan_for(2, **HIDDEN)
    loud, _ = play(config, hidden(1e6), hidden(0.0), ledger=ledger)
    quiet, _ = play(config, hidden(0.0), hidden(0.0), ledger=ledger)
    moved = {n: loud.state[n] - quiet.state[n] for n in quiet.state}
    expected = filled(1 / math.sqrt(10) / 2)
    assert close(moved, expected, tolerance=2e-3)


def test_the_norm_follows_the_updates_where_the_plan_says_so(ledger: PrivacyLedger) -> None:
    config = plan_for(
        2,
        num_rounds=2,
        target_epsilon=100.0,
        clip_quantile=0.5,
        clip_count_noise=0.2,
        **HIDDEN,
    )
    first, _ = play(config, hidden(1e-6), hidden(2e-6), ledger=ledger)
    assert first.clip_norm is not None
    assert first.clip_norm < 1.0, "all were shorter"
    second, _ = play(config, hidden(1e-6), hidden(2e-6), ledger=ledger, last=first)
    assert second.clip_norm is not None
    assert second.clip_norm < first.clip_norm


# A run that was stopped between rounds ends as one that was not.

RESUMED: dict[str, dict[str, object]] = {
    "momentum": {"server_optimizer": "momentum"},
    "adam": {"server_optimizer": "adam", "server_learning_rate": 0.01},
    "scaffold": {"local_rule": "scaffold"},
    "topk": {"wire": "topk", "topk_share": 0.2},
    "int8": {"wire": "int8", "wire_down": "int8"},
    "some owners": {"num_owners": 3, "owners_per_round": 2},
    "owner": {**HIDDEN, "owners_per_round": 1},
    "adaptive": {
        **HIDDEN,
        "target_epsilon": 100.0,
        "clip_quantile": 0.5,
        "clip_count_noise": 0.2,
        "server_optimizer": "momentum",
    },
    "secure": {"secure_aggregation": True, "num_owners": 3, "min_replies": 2},
}


@pytest.mark.parametrize("kind", RESUMED)
def test_a_resumed_run_gives_the_same_adapter(tmp_path: Path, kind: str) -> None:
    config = tiny_config(num_rounds=4, **RESUMED[kind])
    whole = RunFolder.create(tmp_path / "whole")
    run_federation(config, whole, TinyTask(config))

    def stop(server_round: int, *_: object) -> None:
        if server_round == 2:
            raise KeyboardInterrupt

    stopped = RunFolder.create(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_federation(config, stopped, TinyTask(config), on_round=stop)
    outcome = run_federation(config, stopped, TinyTask(config))
    assert outcome.rounds_done == 4
    one, other = read_checkpoint(whole), read_checkpoint(stopped)
    assert one is not None
    assert other is not None
    assert same(one.state, other.state)
    assert same(one.optimizer, other.optimizer)
    assert (one.clip_norm, one.taken_part) == (other.clip_norm, other.taken_part)
