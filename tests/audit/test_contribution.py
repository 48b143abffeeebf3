"""Whose data shaped the adapter: from updates that were kept, or from the adapter alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from discreet.artifacts import RunFolder
from discreet.attribution import Mixture, Share
from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.contribution import _in_a_sentence, update_of
from discreet.federated import FIRST_NODE_ID, keep_updates, kept_updates

AUDIT = AUDITS["contribution"]


def with_updates(subject: Subject, folder: Path, parts: tuple[float, float]) -> Subject:
    """Return the run as if two owners had moved the same tensors, so far each."""
    run = RunFolder(folder / "other")
    shutil.copytree(subject.run.path, run.path)
    shutil.rmtree(run.path / "updates")
    direction = {name: torch.randn(v.shape) for name, v in subject.first.items() if "_B." in name}
    keep = keep_updates(run)
    for place, part in enumerate(parts):
        keep(1, FIRST_NODE_ID + place, {name: part * v for name, v in direction.items()})
    return replace(subject, adapter=replace(subject.adapter, run=run))


def test_parts_are_those_that_were_planted(private: Subject, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = ask(AUDIT, with_updates(private, tmp_path, (3.0, 1.0)), Asking())
    rows = {row["owner"]: row["share"] for row in found.values["rounds"]["round 1"]}
    assert rows == pytest.approx({"owner-0": 0.75, "owner-1": 0.25})
    assert "owner-0 carried the adapter furthest: 75%" in found.verdict


def test_nobody_is_named_where_parts_are_even(private: Subject, tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = ask(AUDIT, with_updates(private, tmp_path, (1.0, 1.0)), Asking())
    assert "no owner surely carried the adapter further" in found.verdict
    assert "owner-" not in found.verdict


def test_a_mixture_is_told_with_its_agreement_and_a_single_group_without_a_share() -> None:
    def share(*owners: str, part: float) -> Share:
        return Share(candidates=owners, share=part, low=part, high=part)

    one = Mixture(shares=(share("a", "b", part=1.0),), agreement=0.43, low=0.3, high=0.5)
    assert "cannot be told" in _in_a_sentence(one, 2)
    assert "100%" not in _in_a_sentence(one, 2)
    two = replace(one, shares=(share("a", part=0.7), share("b", part=0.3)))
    for mixture in (one, two):
        assert "agreement of 0.43 (0.30 to 0.50)" in _in_a_sentence(mixture, 2)
    assert "a has 70%" in _in_a_sentence(two, 2)


def test_every_round_and_all_of_them_are_told(private: Subject) -> None:
    found = ask(AUDIT, private, Asking())
    assert set(kept_updates(private.run)) == {1, 2}
    assert list(found.values["rounds"]) == ["round 1", "round 2", "all rounds"]
    for parts in found.values["rounds"].values():
        assert sum(part["share"] for part in parts) == pytest.approx(1)
        assert {part["owner"] for part in parts} == {"owner-0", "owner-1"}


def test_without_updates_the_adapter_is_unmixed(by_heart: Subject) -> None:
    found = ask(AUDIT, by_heart, Asking(effort="quick"))
    assert found.values["from"] == "adapter"
    assert "From the adapter alone" in found.says[1]
    shares = found.values["mixture"]["shares"]
    assert not shares or sum(share["share"] for share in shares) == pytest.approx(1)


def test_where_one_factor_moved_the_change_is_its_product(private: Subject) -> None:
    name = next(name for name in private.first if ".lora_B." in name)
    moved = torch.randn(private.first[name].shape)
    update = update_of({name: moved}, private.first)
    partner = private.first.get(name.replace(".lora_B.", ".lora_A."))
    whole = moved.double() if partner is None else moved.double() @ partner.double()
    assert update.norm == pytest.approx(float(whole.norm()), rel=1e-6)


def test_one_owner_has_no_other_part(private: Subject) -> None:
    alone = replace(
        private,
        task=replace(
            private.task,
            shared=replace(
                private.task.shared, owned={"owner-0": private.members(private.owners[0])}
            ),
        ),
    )
    with pytest.raises(ValueError, match="two owners or more"):
        ask(AUDIT, alone, Asking())


def test_one_owner_asked_about_has_no_other_part(by_heart: Subject) -> None:
    with pytest.raises(ValueError, match="Leave out --owners"):
        ask(AUDIT, by_heart, Asking(effort="quick", owners=1))
