"""What is learnt by heart is found, what is private is not, and both are told side by side."""

from dataclasses import replace
from pathlib import Path

import pytest

from discreet.artifacts import RunFolder
from discreet.bench import (
    AUDITED_PLAN,
    Audited,
    as_audits_table,
    audit_runs,
    few_people,
    train_both,
)
from discreet.bench.audits import BY_HEART, PRIVATE
from discreet.data import load_portraits
from discreet.errors import ArtifactError
from discreet.federated import TrainConfig
from discreet.registry import read_card, resolve
from tests.audit.runs import sharp_base


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return few_people(tmp_path_factory.mktemp("data"), train=12, others=150)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, RunFolder]:
    base = sharp_base(tmp_path_factory.mktemp("bases") / "sharp")
    plan = replace(
        AUDITED_PLAN, base=str(base), lora_layers=2, local_steps=20, sample_rate=0.5, canaries=0
    )
    return train_both(tmp_path_factory.mktemp("both"), plan, data, on_done=lambda doing: None)


@pytest.fixture(scope="module")
def found(runs: dict[str, RunFolder], data: Path) -> list[Audited]:
    names = ("membership", "mechanism")
    return audit_runs(runs, data, effort="quick", names=names, on_done=lambda doing: None)


def test_few_people_are_one_picture_each_and_nobody_is_in_two_splits(data: Path) -> None:
    people = {
        split: [one.identity_id for one in load_portraits(split, path=data)]
        for split in ("train", "validation", "test")
    }
    assert {split: len(own) for split, own in people.items()} == {
        "train": 12,
        "validation": 50,
        "test": 100,
    }
    everybody = [person for own in people.values() for person in own]
    assert len(set(everybody)) == len(everybody)
    assert load_portraits("train", path=data)[0].audit_labels["skin_tone"]


def test_members_are_found_where_they_were_learnt_by_heart_and_not_where_they_are_private(
    found: list[Audited],
) -> None:
    by_heart, private = (
        next(one.found for one in found if (one.audit, one.run) == ("membership", run))
        for run in (BY_HEART, PRIVATE)
    )
    assert by_heart is not None
    assert private is not None
    tails = [
        max(attack["tails"][0]["tpr"] for attack in one.values["attacks"].values())
        for one in (by_heart, private)
    ]
    assert tails[0] >= 0.1  # ten times chance
    assert tails[1] < tails[0]
    assert not any("broken" in said for said in private.says)
    assert private.settings["effort"] == "quick"


def test_both_are_told_side_by_side_and_what_cannot_be_asked_has_its_reason(
    found: list[Audited],
) -> None:
    table = as_audits_table(found).splitlines()
    assert table[0] == f"| audit | {BY_HEART} | {PRIVATE} |"
    mechanism = next(line for line in table if line.startswith("| mechanism"))
    assert "not asked: Expected a private run" in mechanism
    assert "Not refuted" in mechanism


def test_a_folder_that_has_both_runs_is_asked_and_not_trained_again(
    runs: dict[str, RunFolder], data: Path, found: list[Audited]
) -> None:
    before = {name: run.card_path.stat().st_mtime_ns for name, run in runs.items()}
    folder = next(iter(runs.values())).path.parent
    plan = TrainConfig.load(next(iter(runs.values())).config_path)
    again = train_both(folder, plan, data, on_done=lambda doing: None)
    assert {name: run.card_path.stat().st_mtime_ns for name, run in again.items()} == before
    asked = audit_runs(again, data, effort="quick", names=("membership",), on_done=print)
    assert [one.reason for one in asked] == ["asked before", "asked before"]
    assert resolve(str(again[BY_HEART].path), folder).card.worst is None
    with pytest.raises(ArtifactError, match="got one of another plan"):
        train_both(folder, replace(plan, local_steps=21), data, on_done=lambda doing: None)


def test_a_run_that_was_stopped_is_trained_anew_and_a_whole_one_stands(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card is there after the first of two rounds: it does not show that a run is whole."""
    plan = replace(AUDITED_PLAN, base="tiny", num_rounds=2, local_steps=1, canaries=0)

    def stop_in_the_second_round(doing: str) -> None:
        if doing == f"training: {PRIVATE}, step {plan.num_owners + 1} of {2 * plan.num_owners}":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_both(tmp_path, plan, data, on_done=stop_in_the_second_round)
    assert read_card(RunFolder(tmp_path / "private")).rounds_done == 1
    by_heart = read_card(RunFolder(tmp_path / "by-heart"))
    told: list[str] = []
    runs = train_both(tmp_path, plan, data, on_done=told.append)
    assert read_card(runs[PRIVATE]).rounds_done == 2
    assert read_card(runs[BY_HEART]) == by_heart
    assert f"training: {BY_HEART}" not in told
    told.clear()
    train_both(tmp_path, plan, data, on_done=told.append)
    assert told == []
