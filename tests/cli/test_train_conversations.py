"""`discreet train --data` on conversations, from the list on disk to the adapter on the shelf."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from federated.chats import NAMES, change, index, shards, talks, write

from discreet.cli import train
from discreet.federated import TrainConfig
from discreet.federated.rounds import run_federation
from discreet.privacy import PrivacyLedger
from discreet.types import OwnerId
from tests.cli.conftest import Run

PLAN = TrainConfig(
    base="tiny",
    num_owners=2,
    num_rounds=2,
    local_steps=2,
    sample_rate=0.5,
    expected_batch_size=3,
    lora_layers=1,
)


@pytest.fixture
def discreet(discreet: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command; stderr is on one line."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> tuple[int, str, str]:
        status, out, err = discreet(*words)
        return status, out, " ".join(err.split())

    return run


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    PLAN.save(tmp_path / "plan.toml")
    return tmp_path / "plan.toml"


def is_clean(folder: Path) -> bool:
    """Return whether no file or name below a folder holds a word, a person or a picture's name."""
    for path in folder.rglob("*"):
        data = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        if any(name.encode() in data for name in NAMES):
            return False
    return True


def test_the_probe_finds_what_is_there(tmp_path: Path) -> None:
    shared = index(tmp_path)
    assert not is_clean(tmp_path)
    assert all(name.encode() in shared.read_bytes() for name in NAMES)


def test_a_lab_trains_on_its_own_chats_and_nothing_of_them_is_left(
    discreet: Run, plan: Path, tmp_path: Path
) -> None:
    chats = write(tmp_path / "set", talks())
    shared, out = tmp_path / "index.parquet", tmp_path / "run"
    said = ""
    for words in (
        ("data", "check", chats),
        ("data", "share", chats, shared, "--owners", 2),
        ("train", plan, "--data", shared, "--out", out, "--json"),
        ("adapters", "show", out),
    ):
        status, printed, err = discreet(*words)
        assert status == 0, err
        said += printed + err
    assert "An example is one conversation." in said
    card = json.loads((out / "card.json").read_text())
    assert card["data"]["examples"] == "conversations"
    assert set(card["privacy"]["per_owner"]) == {"owner-0", "owner-1"}
    assert card["rounds_done"] == 2
    assert TrainConfig.load(out / "config.toml").examples == "conversations"
    ledger = PrivacyLedger.open(out / "ledger.jsonl")
    for owner in ledger.owners():
        assert [entry.steps_counted for entry in ledger.entries(owner)] == [2, 2]
        assert ledger.spent(owner).epsilon <= 8
    assert is_clean(out)
    assert not any(name in said for name in NAMES)


def test_owners_are_those_of_the_file_unless_a_plan_says_others(
    discreet: Run, plan: Path, tmp_path: Path
) -> None:
    shared = index(tmp_path, owners=3, by="record")
    words = ("train", "--base", "tiny", "--rounds", 1, "--steps", 1, "--data", shared)
    status, _, err = discreet(*words, "--out", tmp_path / "free")
    assert status == 0, err
    assert TrainConfig.load(tmp_path / "free" / "config.toml").num_owners == 3
    for name, given in (("a", (*words, "--owners", 2)), ("b", ("train", plan, *words[-2:]))):
        status, _, err = discreet(*given, "--out", tmp_path / name)
        assert status == 1
        assert "Expected num_owners = 3, the owners in 'index.parquet', got num_owners=2" in err
        assert not (tmp_path / name / "ledger.jsonl").exists()


def test_the_number_of_owners_does_not_depend_on_who_has_something(
    discreet: Run, tmp_path: Path
) -> None:
    """Shared out to four, some have nothing; a file that does not say how many is refused."""
    chats, shared = write(tmp_path / "set", talks(2)), tmp_path / "index.parquet"
    assert discreet("data", "share", chats, shared, "--owners", 4)[0] == 0
    words = ("train", "--base", "tiny", "--rounds", 1, "--steps", 1, "--data")
    status, _, err = discreet(*words, shared, "--out", tmp_path / "run")
    assert status == 0, err
    assert all(f"owner-{number} spent" in err for number in range(4))
    table = pq.read_table(shared)
    pq.write_table(table.replace_schema_metadata({}), shared)
    status, _, err = discreet(*words, shared, "--out", tmp_path / "other")
    assert status == 1
    assert "who has nothing is one of them. Say it with --owners" in err


def test_one_shard_is_one_owner(discreet: Run, tmp_path: Path) -> None:
    shard = shards(tmp_path)[1]
    words = ("train", "--base", "tiny", "--rounds", 1, "--steps", 1, "--data", shard)
    status, _, err = discreet(*words, "--out", tmp_path / "run")
    assert status == 0, err
    assert "owner-0 spent" in err
    assert "owner-1" not in err


def test_a_run_goes_on_with_its_conversations_and_not_without(
    discreet: Run, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, out = index(tmp_path), tmp_path / "run"

    def stop(*args: object, on_round: Callable[..., None], **kwargs: object) -> object:
        def then_stop(*told: object) -> None:
            on_round(*told)
            raise KeyboardInterrupt

        return run_federation(*args, on_round=then_stop, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(train, "run_federation", stop)
        status, _, err = discreet("train", plan, "--data", shared, "--out", out)
    assert (status, json.loads((out / "card.json").read_text())["rounds_done"]) == (130, 1), err
    status, _, err = discreet("train", "--resume", out)
    assert status == 1
    assert "Expected conversations to train on, as the plan says, got portraits" in err
    assert "--data" in err
    status, printed, err = discreet("train", "--resume", out, "--data", shared, "--json")
    assert status == 0, err
    assert json.loads(printed)["rounds_done"] == 2
    ledger = PrivacyLedger.open(out / "ledger.jsonl")
    assert [e.steps_counted for e in ledger.entries(OwnerId("owner-0"))] == [2, 2]
    assert is_clean(out)


def test_what_is_left_out_is_told_by_numbers(discreet: Run, plan: Path, tmp_path: Path) -> None:
    shared = index(tmp_path)
    short = tmp_path / "short.toml"
    short.write_text(plan.read_text().replace("max_tokens = 2048", "max_tokens = 160"))
    status, _, err = discreet("train", short, "--data", shared, "--out", tmp_path / "run")
    assert status == 0, err
    assert "left out: " in err
    assert "longer than max_tokens" in err
    assert not any(name in err for name in NAMES)


def test_a_set_that_was_moved_needs_its_root(discreet: Run, plan: Path, tmp_path: Path) -> None:
    shared = index(tmp_path)
    shutil.move(tmp_path / "set", tmp_path / "moved")
    words = ("train", plan, "--data", shared, "--out")
    status, _, err = discreet(*words, tmp_path / "a")
    assert status == 1
    assert "--root" in err
    assert not any(name in err for name in NAMES)
    assert not (tmp_path / "a" / "ledger.jsonl").exists()
    status, _, err = discreet(*words, tmp_path / "b", "--root", tmp_path / "moved")
    assert status == 0, err


def test_a_file_of_two_kinds_and_a_list_are_refused(
    discreet: Run, plan: Path, tmp_path: Path
) -> None:
    mixed = change(index(tmp_path), expression=lambda rows: ["happy"] * len(rows))
    listed = tmp_path / "set" / "chats.jsonl"
    for data, message in ((mixed, "columns of both: also expression"), (listed, "data share")):
        status, _, err = discreet("train", plan, "--data", data, "--out", tmp_path / "run")
        assert status == 1
        assert message in err
        assert not any(name in err for name in NAMES)
