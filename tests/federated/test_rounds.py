"""A run can stop anywhere: its folder stays readable, its ledger keeps what was charged."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import Context, RecordDict
from safetensors.torch import save_file

from discreet.artifacts import RunFolder, read_lines_after
from discreet.errors import AdapterWithdrawn, ArtifactCorrupt, DataError, FederationError
from discreet.federated import (
    Assignment,
    Checkpoint,
    Event,
    LocalGrid,
    Outcome,
    RoundDone,
    RoundReport,
    State,
    StepTaken,
    TrainConfig,
    client_app,
    read_checkpoint,
    released_statements,
    require_same_plan,
    round_done,
    run_federation,
    server_app,
    statements_of,
)
from discreet.federated.checkpoint import write_checkpoint
from discreet.privacy import PrivacyLedger, StepRecord, epsilon_of
from discreet.registry import withdraw
from discreet.types import OwnerId
from federated.tiny import TinyTask, plan_of, tiny_config

CONFIG = tiny_config()
OWNERS = (OwnerId("owner-0"), OwnerId("owner-1"))
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from federated.tiny import TinyTask, tiny_config
from discreet.artifacts import RunFolder
from discreet.federated import run_federation

def on_step(owner, server_round, step):
    if (owner, server_round, step.step) == ("owner-1", 2, 2):
        os.kill(os.getpid(), signal.SIGKILL)

config = tiny_config()
run_federation(config, RunFolder.create(Path(sys.argv[1])), TinyTask(config), on_step=on_step)
"""


def train(
    run: RunFolder, config: TrainConfig = CONFIG, **hooks: Callable[..., None] | None
) -> Outcome:
    return run_federation(config, run, TinyTask(config), **hooks)


def steps_charged(run: RunFolder) -> dict[str, list[int]]:
    ledger = PrivacyLedger.open(run.ledger_path)
    return {str(o): [e.steps_counted for e in ledger.entries(o)] for o in ledger.owners()}


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def stop_at(
    server_round: int, owner: str = "owner-1", step: int = 2
) -> Callable[[OwnerId, int, StepRecord], None]:
    """Press Ctrl-C in the middle of somebody's training."""

    def on_step(who: OwnerId, number: int, record: StepRecord) -> None:
        if (who, number, record.step) == (owner, server_round, step):
            signal.raise_signal(signal.SIGINT)

    return on_step


def charge(run: RunFolder, owner: OwnerId, steps: int) -> None:
    """Spend some of an owner's budget beforehand."""
    ledger = PrivacyLedger.open(run.ledger_path)
    ledger.open_account(owner, plan_of(CONFIG))
    ledger.reserve(owner, steps=steps)


def test_a_run_trains_all_rounds_and_writes_everything(run: RunFolder) -> None:
    rounds: list[tuple[int, State, RoundReport]] = []
    outcome = train(
        run, on_round=lambda number, state, report: rounds.append((number, state, report))
    )
    assert (outcome.rounds_done, outcome.ended) == (2, "completed")
    assert [number for number, _, _ in rounds] == [1, 2]
    assert same(rounds[1][1], outcome.state)
    assert not same(rounds[0][1], outcome.state)
    assert TrainConfig.load(run.config_path) == CONFIG
    assert steps_charged(run) == {"owner-0": [3, 3], "owner-1": [3, 3]}
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.rounds_done == 2
    assert same(checkpoint.state, outcome.state)


def test_the_average_is_that_of_the_owners_own_results(run: RunFolder) -> None:
    outcome = train(run, tiny_config(num_rounds=1))
    config = tiny_config(num_rounds=1)
    task = TinyTask(config)
    start = task.initial_state()
    assignment = Assignment(server_round=1, learns=frozenset(start), rank=config.lora_r)
    moved = []
    for index, owner in enumerate(OWNERS):
        ledger = PrivacyLedger.open(run.path / f"alone-{index}.jsonl")
        result = task.train(start, owner=owner, assignment=assignment, ledger=ledger, on_step=None)
        moved.append({name: result.state[name] - start[name] for name in start})
    for name, value in outcome.state.items():
        mean = torch.stack([update[name].double() for update in moved]).mean(0).float()
        assert torch.equal(value, (start[name].double() + mean.double()).float())


def test_metrics_say_what_is_local_and_what_was_released(run: RunFolder) -> None:
    train(run)
    lines = run.read_metrics()
    local = {line["name"] for line in lines if line["visibility"] == "local"}
    released = {line["name"] for line in lines if line["visibility"] == "released"}
    assert local == {"train_loss"}
    assert released == {"bytes_down", "bytes_up", "epsilon", "replies", "seconds", "steps"}
    spent = released_statements(run)
    ledger = PrivacyLedger.open(run.ledger_path)
    assert spent == {f"node-{1000 + i}": ledger.spent(o) for i, o in enumerate(OWNERS)}
    assert all(
        {"delta", "unit", "neighbouring_relation"} <= set(line)
        for line in lines
        if line["name"] == "epsilon"
    )


def test_a_released_loss_is_told_by_node_and_as_a_mean(run: RunFolder) -> None:
    told: list[RoundDone] = []
    config = tiny_config(loss_noise=30.0)
    keep = lambda event: told.append(event) if isinstance(event, RoundDone) else None  # noqa: E731
    run_federation(config, run, TinyTask(config), on_event=keep)
    lines = [line for line in run.read_metrics() if line["name"] == "loss"]
    assert {line["visibility"] for line in lines} == {"released"}
    for number, event in enumerate(told, start=1):
        own = [line for line in lines if line["round"] == number]
        by_node = {line["node"]: line["value"] for line in own if "node" in line}
        (mean,) = (line["value"] for line in own if "node" not in line)
        assert set(by_node) == {1000, 1001}
        assert mean == event.loss == pytest.approx(sum(by_node.values()) / 2)
    assert len(told) == 2


def test_two_runs_from_one_seed_are_equal_and_without_seed_differ(tmp_path: Path) -> None:
    names = iter("abcd")

    def state(config: TrainConfig) -> State:
        return train(RunFolder.create(tmp_path / next(names)), config).state

    secret = tiny_config(reproducible=False)
    assert same(state(CONFIG), state(CONFIG))
    assert not same(state(secret), state(secret))


def test_ctrl_c_in_round_2_leaves_a_readable_run_that_goes_on(run: RunFolder) -> None:
    published: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train(run, on_round=lambda n, _, __: published.append(n), on_step=stop_at(2))
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.rounds_done == 1
    assert published == [1]
    assert TrainConfig.load(run.config_path) == CONFIG
    assert {line["round"] for line in run.read_metrics() if line["name"] == "replies"} == {1}
    assert steps_charged(run) == {"owner-0": [3, 3], "owner-1": [3, 2]}, "two steps had begun"

    outcome = train(run, on_round=lambda n, _, __: published.append(n))
    assert published == [1, 1], "the hook catches up with the round on disk"
    assert (outcome.rounds_done, outcome.ended) == (1, "budget_exhausted")
    assert same(outcome.state, checkpoint.state)
    assert steps_charged(run) == {"owner-0": [3, 3], "owner-1": [3, 2]}
    assert run.read_metrics()[-1]["name"] == "ended"


def test_an_owner_whose_round_was_lost_sits_out_and_the_others_finish(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(run, on_step=stop_at(2, owner="owner-0"))
    assert steps_charged(run) == {"owner-0": [3, 2], "owner-1": [3]}
    reports: list[RoundReport] = []
    outcome = train(run, on_round=lambda _, __, report: reports.append(report))
    assert (outcome.rounds_done, outcome.ended) == (2, "completed")
    assert reports[-1].dropped == {1000: "BudgetExhausted"}
    assert steps_charged(run) == {"owner-0": [3, 2], "owner-1": [3, 3]}


def test_a_run_stopped_between_rounds_ends_as_if_it_had_not(tmp_path: Path) -> None:
    whole = train(RunFolder.create(tmp_path / "whole"))
    run = RunFolder.create(tmp_path / "stopped")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, on_round=stop)
    rounds: list[int] = []
    resumed = train(run, on_round=lambda number, _, __: rounds.append(number))
    assert rounds == [1, 2]
    assert same(resumed.state, whole.state)
    ledger, plan = PrivacyLedger.open(run.ledger_path), plan_of(CONFIG)
    for owner in OWNERS:
        assert ledger.spent(owner).epsilon == pytest.approx(
            epsilon_of([plan], plan.delta, plan.accountant)
        )


def test_ctrl_c_while_files_are_written_waits_until_they_are(run: RunFolder) -> None:
    done: list[str] = []

    def publish(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        done.append("written")

    former = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(run, on_round=publish)
    assert done == ["written"]
    assert signal.getsignal(signal.SIGINT) is former
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.rounds_done == 1


def test_kill_9_loses_neither_the_average_nor_a_charge(run: RunFolder) -> None:
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.path), str(tests)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert checkpoint.rounds_done == 1
    assert steps_charged(run) == {"owner-0": [3, 3], "owner-1": [3, 3]}
    assert train(run).ended == "budget_exhausted"


def test_a_finished_run_does_nothing_more(run: RunFolder) -> None:
    first = train(run)
    again = train(run)
    assert same(first.state, again.state)
    assert steps_charged(run) == {"owner-0": [3, 3], "owner-1": [3, 3]}


def test_a_spent_budget_ends_the_run_with_the_last_adapter(run: RunFolder) -> None:
    for owner in OWNERS:
        charge(run, owner, 3)
    outcome = train(run)
    assert (outcome.rounds_done, outcome.ended) == (1, "budget_exhausted")
    checkpoint = read_checkpoint(run)
    assert checkpoint is not None
    assert same(outcome.state, checkpoint.state)
    last = run.read_metrics()[-1]
    assert (last["round"], last["name"], last["visibility"]) == (2, "ended", "released")


def test_a_budget_spent_beforehand_trains_nothing(run: RunFolder) -> None:
    for owner in OWNERS:
        charge(run, owner, 6)
    outcome = train(run)
    assert (outcome.rounds_done, outcome.ended) == (0, "budget_exhausted")
    assert same(outcome.state, TinyTask(CONFIG).initial_state())
    assert read_checkpoint(run) is None


class Broken(TinyTask):
    def points_of(self, owner: OwnerId) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError(f"no points for {owner}")


def test_the_error_of_an_owner_in_this_process_is_the_cause(run: RunFolder) -> None:
    with pytest.raises(FederationError, match="node 1000: RuntimeError") as raised:
        run_federation(CONFIG, run, Broken(CONFIG))
    assert str(raised.value.__cause__) == "no points for owner-1"


def test_a_run_keeps_its_plan(run: RunFolder) -> None:
    train(run)
    with pytest.raises(ValueError, match="another num_rounds, seed"):
        train(run, tiny_config(num_rounds=3, seed=1))


def test_a_run_in_which_nothing_was_done_takes_another_plan(run: RunFolder) -> None:
    CONFIG.save(run.config_path)
    PrivacyLedger.open(run.ledger_path)
    other = tiny_config(num_rounds=1, min_replies=1)
    outcome = train(run, other)
    assert outcome.rounds_done == 1
    assert TrainConfig.load(run.config_path) == other
    assert all(len(steps) == 1 for steps in steps_charged(run).values())


def test_a_round_that_failed_and_was_charged_keeps_its_plan(run: RunFolder) -> None:
    with pytest.raises(FederationError, match="or lower min_replies.$"):
        run_federation(CONFIG, run, Broken(CONFIG))
    charge(run, OwnerId("owner-0"), 1)
    assert not run.checkpoint_path.exists()
    with pytest.raises(ValueError, match=r"another num_rounds\. .*or start a new run"):
        train(run, tiny_config(num_rounds=1))
    assert TrainConfig.load(run.config_path) == CONFIG


def test_a_server_that_paid_and_lost_its_ledger_takes_no_other_plan(run: RunFolder) -> None:
    tiny_config(**HIDDEN).save(run.config_path)
    with pytest.raises(ValueError, match="A plan is fixed"):
        require_same_plan(CONFIG, run)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 64])
def test_a_damaged_checkpoint_is_named_and_nothing_is_charged(run: RunFolder, data: bytes) -> None:
    run.checkpoint_path.write_bytes(data)
    with pytest.raises(ArtifactCorrupt, match=r"checkpoint\.safetensors"):
        train(run)
    assert steps_charged(run) == {}


def test_a_checkpoint_without_round_is_corrupt(run: RunFolder) -> None:
    save_file({"a": torch.zeros(1)}, run.checkpoint_path)
    with pytest.raises(ArtifactCorrupt):
        read_checkpoint(run)


def test_a_checkpoint_of_another_adapter_is_refused(run: RunFolder) -> None:
    write_checkpoint(run, Checkpoint(rounds_done=1, state={"other": torch.zeros(2)}))
    with pytest.raises(ArtifactCorrupt, match="got other names"):
        train(run)


def run_apps(tmp_path: Path, config: TrainConfig) -> list[int]:
    """Run the Flower apps over the local grid; return the rounds that were published."""
    nodes = [{"partition-id": index} for index in range(2)]
    settings = {**config.as_mapping(), "run_folder": str(tmp_path / "apps")}
    grid = LocalGrid(
        client_app(TinyTask, ledger=tmp_path / "ledger.jsonl"), nodes, run_config=settings
    )
    hooks: list[int] = []
    app = server_app(TinyTask, publisher=lambda *_: lambda number, __, ___: hooks.append(number))
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=settings)
    with grid.activated():
        app(grid, context)
    return hooks


def test_the_servers_app_runs_the_same_rounds(tmp_path: Path) -> None:
    """The Flower apps, over the local grid, against the driver: two routes that must agree."""
    direct = train(RunFolder.create(tmp_path / "direct"))
    hooks = run_apps(tmp_path, CONFIG)
    checkpoint = read_checkpoint(RunFolder.open(tmp_path / "apps"))
    assert checkpoint is not None
    assert same(checkpoint.state, direct.state)
    assert hooks == [1, 2]
    assert not (tmp_path / "apps" / "ledger.jsonl").exists(), "the server holds no ledger"


def test_a_server_that_adds_the_noise_keeps_its_own_account(tmp_path: Path) -> None:
    config = tiny_config(unit="owner", sampled="owner", max_update_norm=1.0)
    assert run_apps(tmp_path, config) == [1, 2]
    assert steps_charged(RunFolder.open(tmp_path / "apps")) == {"all-owners": [1, 1]}


def test_a_run_that_lost_its_ledger_does_not_go_on(run: RunFolder) -> None:
    """A new ledger would say that the rounds on disk cost nothing."""
    train(run)
    run.ledger_path.unlink()
    with pytest.raises(ArtifactCorrupt, match="nobody would know what was spent"):
        train(run)
    assert not run.ledger_path.exists()


def test_a_plan_edited_between_rounds_is_refused(run: RunFolder) -> None:
    train(run)
    edited = replace(CONFIG, seed=CONFIG.seed + 1)
    edited.save(run.config_path)
    before = run.checkpoint_path.read_bytes()
    with pytest.raises(ValueError, match="was changed"):
        train(run, edited)
    assert run.checkpoint_path.read_bytes() == before


HIDDEN = {"unit": "owner", "sampled": "owner", "max_update_norm": 1.0}


def test_whoever_watches_is_told_of_steps_and_of_rounds_once_they_are_safe(run: RunFolder) -> None:
    told: list[Event] = []
    rounds_on_disk: list[int] = []

    def watch(event: Event) -> None:
        told.append(event)
        if isinstance(event, RoundDone):
            checkpoint = read_checkpoint(run)
            rounds_on_disk.append(checkpoint.rounds_done if checkpoint else 0)

    train(run, on_event=watch)
    steps = [(e.owner, e.server_round, e.step) for e in told if isinstance(e, StepTaken)]
    assert steps == [(o, n, s) for n in (1, 2) for o in OWNERS for s in (1, 2, 3)]
    done = [event for event in told if isinstance(event, RoundDone)]
    assert [(e.server_round, e.num_rounds, e.replies, e.dropped) for e in done] == [
        (1, 2, 2, 0),
        (2, 2, 2, 0),
    ]
    assert rounds_on_disk == [1, 2]
    assert done[-1].spent == PrivacyLedger.open(run.ledger_path).spent(OWNERS[0])
    assert 0 < done[0].bytes_up == done[0].bytes_down


def test_where_the_choice_of_owners_is_secret_what_tells_it_stays_local(run: RunFolder) -> None:
    """An exported run has the released lines only; epsilon counts on nobody knowing the others."""
    config = tiny_config(num_owners=3, owners_per_round=2, seed=2, **HIDDEN)
    train(run, config)
    lines = run.read_metrics()
    assert {line["name"] for line in lines if line["visibility"] == "released"} == {
        "clip_norm",
        "epsilon",
    }
    assert not any("node" in line for line in lines if line["visibility"] == "released")
    (spent,) = statements_of(run).values()
    assert (spent.unit, spent.neighbouring_relation) == ("owner", "add_or_remove_one")
    assert steps_charged(run) == {"all-owners": [1, 1]}


def test_a_server_that_pays_and_lost_its_ledger_does_not_go_on(tmp_path: Path) -> None:
    config = tiny_config(**HIDDEN)
    run = RunFolder.create(tmp_path / "run")
    train(run, config)
    run.ledger_path.unlink()
    with pytest.raises(ArtifactCorrupt, match="nobody would know what was spent"):
        train(run, config)


def test_owners_who_are_asked_in_turn_pay_for_their_rounds_only(run: RunFolder) -> None:
    config = tiny_config(num_owners=4, owners_per_round=2, num_rounds=4)
    outcome = train(run, config)
    assert outcome.ended == "completed"
    assert steps_charged(run) == {f"owner-{index}": [3, 3] for index in range(4)}
    ledger = PrivacyLedger.open(run.ledger_path)
    assert all(ledger.spent(owner).epsilon <= config.target_epsilon for owner in ledger.owners())


def test_an_event_of_a_round_says_what_the_folder_says(run: RunFolder) -> None:
    told: list[RoundDone] = []
    run_federation(CONFIG, run, TinyTask(CONFIG), on_event=lambda e: keep_rounds(told, e))
    again = [round_done(run, number, CONFIG.num_rounds) for number in (1, 2)]
    assert [replace(event, spent=None) for event in told] == [
        replace(event, spent=None) for event in again
    ]
    assert told[-1] == again[-1]
    assert told[0].spent != told[1].spent


def keep_rounds(told: list[RoundDone], event: Event) -> None:
    if isinstance(event, RoundDone):
        told.append(event)


def test_a_ledger_is_read_as_often_for_many_accounts_as_for_one(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a thousand owners would be a thousand times the file of a thousand owners."""
    reads: list[Path] = []

    def counting(path: Path, known: bytearray) -> bytes | None:
        reads.append(path)
        return read_lines_after(path, known)

    monkeypatch.setattr("discreet.chain.read_lines_after", counting)
    ledger, plan = PrivacyLedger.open(run.ledger_path), plan_of(CONFIG)
    counts = []
    for number in range(3):
        owner = OwnerId(f"owner-{number}")
        ledger.open_account(owner, plan)
        ledger.reserve(owner, steps=1 + number)
        reads.clear()
        spent = statements_of(run)
        counts.append(len(reads))
        assert spent == {str(name): ledger.spent(name) for name in ledger.owners()}
    assert counts[0] == counts[2]


class WithoutSecond(TinyTask):
    """All owners are asked, and the device of one always fails."""

    def train(self, state: State, *, owner: OwnerId, **rest: object) -> object:  # type: ignore[override]
        if owner == "owner-1":
            raise DataError("There are no data.")
        return super().train(state, owner=owner, **rest)  # type: ignore[arg-type]


def test_an_absent_owner_leaves_what_an_owner_who_always_fails_leaves(tmp_path: Path) -> None:
    config = tiny_config(num_owners=3, min_replies=2, server_optimizer="momentum")
    failing = run_federation(config, RunFolder.create(tmp_path / "a"), WithoutSecond(config))
    absent = replace(config, absent_owners="1")
    run = RunFolder.create(tmp_path / "b")
    outcome = train(run, absent)
    assert same(outcome.state, failing.state)
    assert not same(outcome.state, train(RunFolder.create(tmp_path / "c"), config).state)
    assert sorted(steps_charged(run)) == ["owner-0", "owner-2"]
    last = read_checkpoint(run)
    assert last is not None
    assert last.taken_part == {1000: 2, 1002: 2}, "nodes keep their numbers"


def test_nobody_goes_on_with_a_run_whose_adapter_was_withdrawn(run: RunFolder) -> None:
    train(run, tiny_config(num_rounds=1))
    withdraw(run, reason="a test")
    with pytest.raises(AdapterWithdrawn, match="a test"):
        train(run, tiny_config(num_rounds=1))
