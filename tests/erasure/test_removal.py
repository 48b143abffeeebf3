"""An owner is taken out of a run: exactly, within what was agreed, and said as it was done."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from federated import tiny
from federated.tiny import TinyTask, tiny_config
from safetensors.torch import save_file

from discreet.artifacts import RunFolder
from discreet.erasure import RECEIPT, Receipt, cost, forget_owner, plan_forgetting, removal
from discreet.errors import (
    AdapterWithdrawn,
    ArtifactError,
    BudgetExhausted,
    FederationError,
    RunExists,
)
from discreet.federated import (
    OnRound,
    Outcome,
    RoundReport,
    State,
    TrainConfig,
    read_checkpoint,
    run_federation,
)
from discreet.privacy import PrivacyLedger, spent_together
from discreet.registry import resolve
from discreet.types import OwnerId

GONE = OwnerId("owner-1")
ROOMY = {"spare_rounds": 2, "max_update_norm": 1e6}
"""Rounds that a retraining may take within the promise."""


@pytest.fixture(autouse=True)
def _plans_of_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs are told of the plan that `TinyTask` runs, which is quick to calibrate."""
    for module in (cost, removal):
        monkeypatch.setattr(module, "plan_of", tiny.plan_of)


def config_of(**changes: object) -> TrainConfig:
    return tiny_config(**{"num_owners": 3, "min_replies": 2, **ROOMY, **changes})


def publisher(run: RunFolder) -> OnRound:
    def on_round(server_round: int, state: State, report: RoundReport) -> None:
        with run.new_adapter() as folder:
            save_file(state, folder / "adapter_model.safetensors")

    return on_round


def trained(folder: Path, config: TrainConfig) -> RunFolder:
    run = RunFolder.create(folder)
    run_federation(config, run, TinyTask(config), on_round=publisher(run))
    return run


def forget(run: RunFolder, out: Path, **options: object) -> Receipt:
    found = plan_forgetting(run, GONE, out=out, **options)  # type: ignore[arg-type]
    return forget_owner(found, TinyTask(found.config), publisher=publisher)


def state_of(run: RunFolder) -> State:
    last = read_checkpoint(run)
    assert last is not None
    return last.adapter


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def steps_of(run: RunFolder) -> dict[str, int]:
    ledger = PrivacyLedger.open(run.ledger_path)
    return {str(o): sum(e.steps_counted for e in ledger.entries(o)) for o in ledger.owners()}


class WithoutSecond(TinyTask):
    """All owners are asked, and the device of one always fails."""

    def train(self, state: State, *, owner: OwnerId, **rest: object) -> object:  # type: ignore[override]
        if owner == GONE:
            raise ValueError("There are no data.")
        return super().train(state, owner=owner, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [{}, {"server_optimizer": "momentum"}, {"wire": "topk"}])
def test_the_next_adapter_is_that_of_a_run_to_which_the_owner_gave_nothing(
    tmp_path: Path, rule: dict[str, object]
) -> None:
    config = config_of(**rule)
    run = trained(tmp_path / "first", config)
    receipt = forget(run, tmp_path / "next")
    never = run_federation(config, RunFolder.create(tmp_path / "never"), WithoutSecond(config))
    next_run = RunFolder(tmp_path / "next")
    assert same(state_of(next_run), never.state)
    assert receipt.retraining == "exact"
    assert receipt.is_complete
    assert steps_of(next_run) == {"owner-0": 12, "owner-2": 12}, "what was spent went along"
    assert steps_of(run) == {"owner-0": 6, "owner-1": 6, "owner-2": 6}, "and stays where it was"


def test_what_is_said_beforehand_is_what_is_spent(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of())
    found = plan_forgetting(run, GONE, out=tmp_path / "next")
    assert [cost.account for cost in found.costs] == ["owner-0", "owner-2"]
    receipt = forget_owner(found, TinyTask(found.config))
    ledgers = [PrivacyLedger.open(r.ledger_path) for r in (run, RunFolder(tmp_path / "next"))]
    for one in found.costs:
        assert one.fits
        assert one.spent == ledgers[0].spent(one.account)
        assert ledgers[1].spent(one.account).epsilon == pytest.approx(one.after.epsilon)
        assert spent_together(ledgers, owner=one.account) == ledgers[1].spent(one.account)
        assert receipt.spent[one.account] == (
            one.spent.epsilon,
            ledgers[1].spent(one.account).epsilon,
        )


def test_planning_writes_nothing(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    plan_forgetting(run, GONE, out=tmp_path / "next")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_beyond_the_promise_nothing_is_changed_until_a_larger_one_is_agreed_to(
    tmp_path: Path,
) -> None:
    run = trained(tmp_path / "first", config_of(spare_rounds=0))
    with pytest.raises(BudgetExhausted, match=r"Nothing was changed.*--epsilon"):
        forget(run, tmp_path / "next")
    assert not (tmp_path / "next").exists()
    assert run.checkpoint_path.exists()
    short = plan_forgetting(run, GONE, out=tmp_path / "next")
    needed = max(cost.after.epsilon for cost in short.costs)
    with pytest.raises(BudgetExhausted):
        forget(run, tmp_path / "next", target_epsilon=needed * 0.8)
    receipt = forget(run, tmp_path / "next", target_epsilon=needed * 1.05)
    assert receipt.retraining == "exact"
    ledger = PrivacyLedger.open(RunFolder(tmp_path / "next").ledger_path)
    for owner in ledger.owners():
        assert 8.0 < ledger.spent(owner).epsilon <= needed * 1.05
        assert ledger.account(owner).plan.target_epsilon == needed * 1.05


def test_the_older_adapter_is_gone_and_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of(local_rule="scaffold"))
    assert any(line.get("owner") == GONE for line in run.read_metrics())
    assert len(list(run.path.glob("ledger.jsonl.*.safetensors"))) == 3
    receipt = forget(run, tmp_path / "next")
    with pytest.raises(AdapterWithdrawn, match="Use run 'next'"):
        resolve("first", tmp_path)
    with pytest.raises(AdapterWithdrawn):
        run_federation(config_of(local_rule="scaffold"), run, TinyTask(config_of()))
    assert not run.adapter_dir.exists()
    assert not run.checkpoint_path.exists()
    lines = run.read_metrics()
    assert {line["owner"] for line in lines if "owner" in line} == {"owner-0", "owner-2"}
    assert any(line["name"] == "epsilon" for line in lines), "evidence stays"
    assert len(list(run.path.glob("ledger.jsonl.*.safetensors"))) == 2
    states = {line.store: (line.state, line.found, line.erased) for line in receipt.lines}
    assert states == {
        "shelf": ("erased", 1, 1),
        "adapter": ("erased", 1, 1),
        "checkpoint": ("erased", 1, 1),
        "metrics": ("erased", 2, 2),
        "memory": ("erased", 1, 1),
        "report": ("absent", 0, 0),
        "own_ledger": ("kept", 1, 0),
        "other_ledgers": ("kept", 2, 0),
        "training_data": ("kept", 0, 0),
        "copies": ("kept", 0, 0),
    }
    assert json.loads((run.path / RECEIPT).read_text()) == json.loads(json.dumps(receipt.to_dict()))


def test_an_owner_who_was_never_asked_leaves_the_rounds_as_they_are(tmp_path: Path) -> None:
    config = config_of(owners_per_round=1, min_replies=1, num_rounds=3)

    def stop(server_round: int, state: State, report: RoundReport) -> None:
        raise KeyboardInterrupt

    run = RunFolder.create(tmp_path / "first")
    with pytest.raises(KeyboardInterrupt):
        run_federation(config, run, TinyTask(config), on_round=stop)
    last = read_checkpoint(run)
    assert last is not None
    asked = next(iter(last.taken_part)) - 1000
    other = OwnerId(f"owner-{(asked + 1) % 3}")
    found = plan_forgetting(run, other, out=tmp_path / "next")
    assert found.rounds_kept == 1
    receipt = forget_owner(found, TinyTask(found.config))
    assert receipt.retraining == "no_part"
    assert read_checkpoint(RunFolder(tmp_path / "next")).taken_part[1000 + asked] >= 1  # type: ignore[union-attr]
    own = plan_forgetting(
        run := trained(tmp_path / "b", config), OwnerId(f"owner-{asked}"), out=run.path
    )
    assert own.rounds_kept == 0


def test_the_same_call_again_changes_nothing_and_says_the_same(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of())
    first = forget(run, tmp_path / "next")
    spent = steps_of(RunFolder(tmp_path / "next"))
    again = forget(run, tmp_path / "next")
    assert replace(again, at=first.at) == first
    assert steps_of(RunFolder(tmp_path / "next")) == spent


def test_training_that_fails_is_said_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path / "first", config_of())

    def fail(*_: object, **__: object) -> Outcome:
        raise FederationError("Nobody answered.")

    monkeypatch.setattr(removal, "run_federation", fail)
    receipt = forget(run, tmp_path / "next")
    assert receipt.retraining == "failed: FederationError"
    assert not receipt.is_complete
    assert "FederationError" in receipt.in_words("en")
    assert "has been removed exactly" not in receipt.in_words("en")
    monkeypatch.undo()
    assert forget(run, tmp_path / "next").retraining == "exact"


def test_a_store_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path / "first", config_of())

    def refuse(path: Path) -> None:
        raise PermissionError(f"may not remove {path}")

    monkeypatch.setattr(removal, "remove_file", refuse)
    receipt = forget(run, tmp_path / "next")
    states = {line.store: line.state for line in receipt.lines}
    assert states["checkpoint"] == "failed"
    assert states["adapter"] == "erased"
    assert not receipt.is_complete
    assert str(tmp_path) not in json.dumps(receipt.to_dict()), "errors are named, not quoted"
    monkeypatch.undo()
    receipt = forget(run, tmp_path / "next")
    assert receipt.is_complete
    assert {line.store: line.erased for line in receipt.lines}["checkpoint"] == 1


def test_an_adapter_can_be_withdrawn_without_budget(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of(spare_rounds=0))
    receipt = forget_owner(plan_forgetting(run, GONE, out=tmp_path / "next"), None)
    assert receipt.retraining == "not_asked"
    assert not (tmp_path / "next").exists()
    with pytest.raises(AdapterWithdrawn, match="Use another adapter"):
        resolve("first", tmp_path)


def test_a_run_has_one_successor_and_may_get_it_later(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of())
    forget_owner(plan_forgetting(run, GONE, out=tmp_path / "next"), None)
    assert forget(run, tmp_path / "next").retraining == "exact"
    with pytest.raises(ArtifactError, match="Expected 'next' for the run without the owner"):
        forget(run, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_one_after_the_other_can_be_forgotten(tmp_path: Path) -> None:
    config = config_of(num_owners=4, spare_rounds=4)
    run = trained(tmp_path / "first", config)
    forget(run, tmp_path / "next")
    with pytest.raises(ArtifactError, match="in the run that took its place"):
        forget_owner(plan_forgetting(run, OwnerId("owner-2"), out=tmp_path / "third"), None)
    found = plan_forgetting(
        RunFolder(tmp_path / "next"), OwnerId("owner-2"), out=tmp_path / "third"
    )
    assert found.config.absent == (1, 2)
    assert forget_owner(found, TinyTask(found.config)).retraining == "exact"
    assert steps_of(RunFolder(tmp_path / "third")) == {"owner-0": 18, "owner-3": 18}


@pytest.mark.parametrize("name", ["owner-3", "owner-01", "clinic", "", "owner--1"])
def test_who_is_no_owner_cannot_be_forgotten(tmp_path: Path, name: str) -> None:
    run = trained(tmp_path / "first", config_of(num_rounds=1))
    with pytest.raises(ValueError, match="Owners: owner-0, owner-1, owner-2"):
        plan_forgetting(run, OwnerId(name), out=tmp_path / "next")


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    run = trained(tmp_path / "first", config_of(num_rounds=1))
    trained(tmp_path / "next", config_of(num_rounds=1))
    with pytest.raises(RunExists):
        forget(run, tmp_path / "next")
    assert run.checkpoint_path.exists()
