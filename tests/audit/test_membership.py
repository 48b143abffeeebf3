"""The membership audit: what was learnt by heart is found, what is private stays in its bound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from discreet.artifacts import RunFolder
from discreet.audit import AUDITS, Asking, Subject, ask, open_subject
from discreet.audit.membership import Compared
from discreet.audit.membership_words import beside_the_promise, strongest, verdict_of
from discreet.bench import shelve_baseline
from discreet.evidence import as_record, evidence_of
from discreet.federated import AssistantTask
from discreet.membership import Membership, measure_membership, most_tpr
from tests.audit.runs import PLAN
from tests.federated.chats import index, talks

AUDIT = AUDITS["membership"]


@pytest.mark.slow
def test_an_adapter_that_learnt_by_heart_gives_its_examples_away(by_heart: Subject) -> None:
    found = ask(AUDIT, by_heart, Asking())
    attacks = found.values["attacks"]
    best = max(one["tails"][0]["tpr"] for one in attacks.values())
    assert best >= 0.1, "ten times chance at 1 % false alarms"
    assert max(one["low"] for one in attacks.values()) > 0.5
    assert "Members can be told from others" in found.verdict


def test_a_private_adapter_stays_within_what_it_promises(private: Subject) -> None:
    found = ask(AUDIT, private, Asking(effort="quick"))
    assert private.worst is not None
    assert private.worst.epsilon <= 4
    for one in found.values["attacks"].values():
        tail = one["tails"][0]
        most = most_tpr(private.worst.epsilon, private.worst.delta, fpr=tail["fpr"])
        assert tail["low"] <= most
    assert not any("broken" in said for said in found.says)
    assert evidence_of(as_record(found)) == found


def test_every_owner_is_told_and_fewer_if_asked_for(private: Subject) -> None:
    found = ask(AUDIT, private, Asking(effort="quick"))
    assert set(found.values["owners"]) == {"owner-0", "owner-1"}
    fewer = ask(AUDIT, private, Asking(effort="quick", owners=1))
    assert set(fewer.values["owners"]) == {"owner-0"}


def test_canaries_are_no_members(private: Subject) -> None:
    """They are like nobody who was held out, so that an attack would tell them untrained."""
    found = ask(AUDIT, private, Asking(effort="quick"))
    held = {owner: private.members(owner).users for owner in private.owners}
    people = sum(1 for users in held.values() for user in users if "canary" not in str(user))
    assert found.values["attacks"]["loss"]["members"] == people == 28


def test_before_training_nothing_is_found(private: Subject) -> None:
    """The adapter of before under the name of the trained one: a placebo."""
    untrained = replace(private, state=private.first)
    found = ask(AUDIT, untrained, Asking(effort="quick"))
    calibrated = found.values["attacks"]["loss less the base's"]
    assert (calibrated["auc"], calibrated["tails"][0]["tpr"]) == (0.5, 0.0)
    assert found.values["placebo"]["auc"] == found.values["attacks"]["loss"]["auc"]


def test_the_strongest_attack_is_the_one_that_is_surest() -> None:
    def found(auc: float, low: float) -> Membership:
        return Membership(auc=auc, low=low, high=0.9, members=9, others=9, people=(3, 3), tails=())

    assert strongest({"wide": found(0.8, 0.4), "sure": found(0.7, 0.6)}) == "sure"


def alone(count: int, kind: str) -> list[str]:
    return [f"{kind}{number}" for number in range(count)]


def measured(members: np.ndarray, others: np.ndarray) -> Membership:
    return measure_membership(members, others, alone(len(members), "m"), alone(len(others), "o"))


def test_few_who_are_surely_found_are_a_finding_whatever_the_area_says() -> None:
    draw = np.random.default_rng(0)
    members, others = draw.normal(size=(2, 300))
    members[:30] += 20
    members[30:] -= 0.25
    said = verdict_of(
        {"loss": measured(members, others), "noise": measured(*draw.normal(size=(2, 300)))}
    )
    assert measured(members, others).low < 0.5
    assert said.startswith("Members can be told from others")
    assert "loss finds 1" in said or "and finds 1" in said


def test_nothing_is_claimed_of_few_people() -> None:
    draw = np.random.default_rng(0)
    few = measure_membership(
        draw.normal(2, 1, 40), draw.normal(0, 1, 40), ["a", "b"] * 20, ["c", "d"] * 20
    )
    assert verdict_of({"loss": few}).startswith("Cannot be told: 2 people are too few")


def test_a_promise_that_allows_everything_is_not_called_kept(private: Subject) -> None:
    one = measured(*np.random.default_rng(0).normal(size=(2, 200)))
    said = beside_the_promise(private, {"loss": one}, most_each=7)
    assert all("says nothing here" in sentence for sentence in said)
    assert "kept" in beside_the_promise(private, {"loss": one}, most_each=1)[0]


def test_relative_scores_of_perfect_leakage_do_not_tie() -> None:
    """Every member dominates the whole population, and so do some others: the fall decides."""
    draw = np.random.default_rng(0)
    before = draw.normal(5, 1, (2, 100))
    fell = np.stack([np.full(100, 3.0), draw.uniform(-0.1, 0.1, 100)])
    compared = Compared(
        people=(alone(100, "m"), alone(100, "o")),
        losses=(before[0] - fell[0], before[1] - fell[1]),
        before=(before[0], before[1]),
    )
    members, others = compared.scores()["RMIA, the base as reference"]
    assert members.min() > others.max()


def test_conversations_need_others_and_are_told_from_them(
    base: Path, tmp_path: Path, private: Subject
) -> None:
    other = replace(private, plan=replace(private.plan, examples="conversations", canaries=0))
    with pytest.raises(ValueError, match="--others"):
        ask(AUDIT, other, Asking())

    strangers = [{**row, "user": f"stranger-{place % 3}"} for place, row in enumerate(talks(9))]
    data, others = index(tmp_path / "data"), index(tmp_path / "others", strangers)
    plan = replace(PLAN, base=str(base), examples="conversations", canaries=0, local_steps=1)
    run = RunFolder.create(tmp_path / "runs" / "talks")
    shelve_baseline(AssistantTask.build(plan, shared_data=data), run)
    subject = open_subject(str(run.path), run.path.parent, data=data, others=others)
    found = ask(AUDIT, subject, Asking(effort="quick"))
    assert found.values["attacks"]["loss"]["members"] == 12
    assert found.values["attacks"]["loss"]["others"] == 18, "the same nine for both owners"


def test_pairs_are_told_from_those_of_held_out_questions(base: Path, tmp_path: Path) -> None:
    plan = replace(
        PLAN,
        base=str(base),
        objective="preferences",
        examples="preference_pairs",
        canaries=0,
        local_steps=1,
        sample_rate=0.01,
    )
    run = RunFolder.create(tmp_path / "pairs")
    shelve_baseline(AssistantTask.build(plan), run)
    subject = open_subject(str(run.path), tmp_path)
    few = Asking(effort="quick", owners=1)
    found = ask(AUDIT, subject, few)
    assert found.values["attacks"]["loss"]["others"] > 100
    members = set(subject.members(subject.owners[0]).users)
    assert not members & set(subject.others(subject.owners[0]).users)
