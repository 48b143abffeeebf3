"""`discreet forget owner` as a person types it, on `tiny`."""

import io
import json
import shutil
from pathlib import Path

import pytest

from discreet.artifacts import RunFolder
from discreet.registry import is_withdrawn, read_card
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text("sample_rate = 0.5\nmin_replies = 1\n")
    return path


def trained(discreet: Run, plan: Path, people: Path, out: Path) -> RunFolder:
    sizes = ("--base", "tiny", "--owners", 2, "--rounds", 1, "--steps", 1)
    status, _, said = discreet("train", plan, *sizes, "--data", people, "--out", out)
    assert status == 0, said
    return RunFolder(out)


def test_an_owner_is_forgotten_once_the_cost_is_agreed_to(
    discreet: Run, plan: Path, portraits_file: Path, tmp_path: Path
) -> None:
    run = trained(discreet, plan, portraits_file, tmp_path / "first")
    words = ("forget", "owner", run.path, "owner-1", "--data", portraits_file)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    status, out, said = discreet(*words, "--dry-run")
    assert status == 0
    assert "owner-0:" in said
    assert "more than the promised 8" in said
    assert "delta = 1e-05" in said
    status, _, said = discreet(*words, "--yes")
    assert status == 1
    assert "BudgetExhausted" in said
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    status, out, said = discreet(
        *words, "--yes", "--epsilon", 16, "--out", tmp_path / "next", "--language", "fr"
    )
    assert status == 0, said
    assert "retirée exactement" in out
    card = read_card(RunFolder(tmp_path / "next"))
    assert list(card.per_owner) == ["owner-0"]
    assert 8.0 < card.per_owner["owner-0"].epsilon <= 16.0
    status, _, said = discreet("adapters", "show", "first", "--runs", tmp_path)
    assert status == 1
    assert "Use run 'next'" in said
    status, out, _ = discreet("adapters", "list", "--runs", tmp_path, "--json")
    assert [("problem" in shelved) for shelved in json.loads(out)] == [False, True]


def test_without_a_yes_nothing_is_changed_and_without_budget_an_adapter_can_be_withdrawn(
    discreet: Run,
    plan: Path,
    portraits_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    run = trained(discreet, plan, portraits_file, tmp_path / "first")
    words = ("forget", "owner", "first", "owner-0", "--no-retrain", "--runs", tmp_path)
    status, _, _ = discreet(*words)
    assert status == 130
    assert not is_withdrawn(run)
    status, out, _ = discreet(*words, "--yes", "--json")
    assert status == 0
    receipt = json.loads(out)
    assert receipt["retraining"] == "not_asked"
    assert receipt["is_complete"]
    assert is_withdrawn(run)


def test_of_nodes_it_says_who_has_to_be_there_and_withdraws(
    discreet: Run, plan: Path, portraits_file: Path, tmp_path: Path
) -> None:
    run = trained(discreet, plan, portraits_file, tmp_path / "first")
    run.ledger_path.unlink()
    shutil.rmtree(run.adapter_dir)
    run.write_json("owners.json", {"node-1": "clinic-a", "node-2": "clinic-b"})
    words = ("forget", "owner", run.path, "clinic-b", "--driver", "deployment", "--yes")
    status, out, said = discreet(*words)
    assert status == 0
    assert "have to be connected: clinic-a." in said
    assert "num_owners = 1" in said
    assert "the checkpoint: erased" in out
    assert is_withdrawn(run)
