"""Planted differences between groups and twins are found, and none where there is none."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL.Image import Image

from discreet.audit import AUDITS, Asking, Subject, ask
from discreet.audit.fairness_words import Found, in_words
from discreet.audit.pictured_twins import (
    LOSS_MARGIN,
    TwinQuestions,
    ask_twins,
    compare_answers,
    compare_losses,
    loss_differences,
    write_for_pictures,
)
from discreet.audit.served import Seen, Served, first_of_each, held_out_people, see_people
from discreet.audit.twin_answers import measure_answers
from discreet.audit.twins import measure_twins
from discreet.data import Portrait, load_portraits, load_questions, load_twins
from discreet.evidence import Evidence, as_record, evidence_of
from discreet.federated import VisualTokens, example_losses
from discreet.model import load_adapter_state
from discreet.types import Observation

DRAW = np.random.default_rng(3)


@pytest.fixture(scope="module")
def asked() -> TwinQuestions:
    return ask_twins(load_twins(), people=40, seed=0)


@pytest.fixture(scope="module")
def served(private: Subject) -> Served:
    """Of 120 people, for measurements that are planted; every second is of one kind."""
    found = held_out_people(private, people=1000, pictures=1)
    people = [f"p{n}" for n in range(120)]
    kinds = ["one" if n % 2 else "other" for n in range(120)]
    return replace(found, people=people, labels={"skin_tone": kinds})


@pytest.fixture(scope="module")
def evidence(private: Subject) -> Evidence:
    return ask(AUDITS["fairness"], private, Asking(effort="quick"))


class Watcher:
    """Sees everybody's band rightly but that of the kinds it is blind to."""

    def __init__(self, portraits: Sequence[Portrait], blind: str = "") -> None:
        self.known = {one.image.tobytes(): one for one in portraits}
        self.blind = blind

    def observe(self, image: Image) -> list[Observation]:
        one = self.known[image.tobytes()]
        if one.audit_labels["skin_tone"] == self.blind:
            return []
        values = {"age_band": one.age_band, "expression": one.expression}
        return [
            Observation(attribute=name, value=value, source="estimated", confidence=0.9)  # type: ignore[arg-type]
            for name, value in values.items()
        ]


def test_an_audit_tells_of_people_policies_and_pictures(evidence: Evidence) -> None:
    assert evidence_of(as_record(evidence)) == evidence
    text = " ".join(evidence.says)
    assert "Behind the policy for healthcare" in text
    assert "Behind the policy for education" in text
    assert "Shown the picture itself" in text
    assert set(evidence.values["pictured"]) == {
        "body_weight",
        "clothing_colour",
        "ethnicity",
        "gender_presentation",
        "hair",
        "skin_tone",
    }
    assert all(one["people"] == 30 for one in evidence.values["pictured"].values())
    assert all(gap["p_corrected"] >= gap["p"] for gap in evidence.values["gaps"])
    names = {pair.identity_id for pair in load_twins()}
    assert not any(name in str(as_record(evidence)) for name in names)


def test_people_whom_nobody_trained_on_are_asked_once_each(private: Subject) -> None:
    trained = {user for owner in private.owners for user in private.members(owner).users}
    found = held_out_people(private, people=1000, pictures=1)
    assert not trained & set(found.people)
    assert len(found.people) == found.count == len(found.examples)
    assert found.labels == {}  # the file has none
    assert len(held_out_people(private, people=7, pictures=1).people) == 7


def test_a_kind_of_person_who_is_served_worse_is_found_and_a_placebo_is_not(
    served: Served,
) -> None:
    losses = DRAW.normal(3, 1, len(served.people))
    worse = losses + np.array([kind == "one" for kind in served.labels["skin_tone"]]) * 1.5
    gap = served.gaps(worse)["skin_tone"]
    assert gap is not None
    assert (gap.highest, gap.p < 0.01) == ("one", True)
    alike = served.gaps(losses)["skin_tone"]
    assert alike is not None
    assert alike.p > 0.01


def test_who_is_not_seen_is_named() -> None:
    people = load_portraits("test")
    first = [people[place] for place in first_of_each([one.identity_id for one in people], 1)]
    blind, watched = see_people(Watcher(first, blind="3"), first, pictures=1)  # type: ignore[arg-type]
    assert watched == 300
    silent = blind.silent["skin_tone"]
    assert silent is not None
    assert (silent.value, silent.highest) == (1.0, "3")
    right = blind.right["skin_tone"]["age_band: child"]
    assert right is None or right.lowest == "3"

    fair, _ = see_people(Watcher(first), first, pictures=1)  # type: ignore[arg-type]
    gaps = [gap for own in fair.right.values() for gap in own.values() if gap is not None]
    assert gaps
    assert all(gap.value == 0 and gap.p == 1 for gap in gaps)


def test_differences_are_those_of_single_losses(asked: TwinQuestions, private: Subject) -> None:
    few = asked.of_people(1)
    found = loss_differences(private, few)
    load_adapter_state(private.task.vlm, private.state)
    for place, pair in enumerate(few.pairs):
        both = []
        for image in pair.images:
            visual = VisualTokens(private.task.vlm, [Shown(image)])
            own = replace(few.examples[place], portrait=0)
            with torch.no_grad():
                both.append(float(example_losses(private.task.vlm, visual, [own])[1]))
        assert found[place] == pytest.approx(both[1] - both[0], abs=2e-3)  # kept in half precision


class Shown:
    """A picture."""

    def __init__(self, image: Image) -> None:
        self.image = image


def test_equal_pictures_are_answered_alike(asked: TwinQuestions, private: Subject) -> None:
    few = asked.of_people(3)
    same = replace(few, pairs=[replace(p, jpegs=(p.jpegs[0], p.jpegs[0])) for p in few.pairs])
    assert not loss_differences(private, same).any()
    assert all(first == second for first, second in write_for_pictures(private, same))


def test_only_kinds_that_may_not_be_used_are_asked_in_one_order(asked: TwinQuestions) -> None:
    assert not {"age", "expression"} & set(asked.kinds)
    assert all(pair.values[0] <= pair.values[1] for pair in asked.pairs)
    assert len(set(asked.people)) == 40
    turned = {pair.jpegs for pair in asked.pairs} - {pair.jpegs for pair in load_twins()}
    assert turned  # some had to be turned


def test_a_planted_difference_is_told_from_none(asked: TwinQuestions) -> None:
    noise = DRAW.normal(0, 0.03, len(asked.pairs))
    planted = noise + np.array([0.2 * (pair.kind == "skin_tone") for pair in asked.pairs])
    found = compare_losses(asked, planted)
    assert found["skin_tone"].in_words == "different"
    assert found["skin_tone"].low <= 0.2 <= found["skin_tone"].high
    others = [one for kind, one in found.items() if kind != "skin_tone"]
    assert all(one.is_equivalent for one in others)
    assert all(one.margin == LOSS_MARGIN for one in others)


def test_refusals_of_one_twin_are_found(asked: TwinQuestions) -> None:
    refusal, answer = "I cannot help with that.", "Drink water."
    answers = [(answer, refusal if pair.kind == "hair" else answer) for pair in asked.pairs]
    found = compare_answers(asked, answers)
    assert found["hair"].refusal.share == 1.0
    assert found["hair"].refusal.p_one_way < 1e-6
    assert found["hair"].text == 1.0
    assert found["hair"].words.in_words == "different"
    assert found["ethnicity"].refusal.share == found["ethnicity"].text == 0.0
    assert found["ethnicity"].words.is_equivalent


def measured(served: Served, worse: float, asked: TwinQuestions) -> Found:
    """What would be found if one kind lost so much more."""
    losses = DRAW.normal(3, 0.5, len(served.people))
    losses += np.array([kind == "one" for kind in served.labels["skin_tone"]]) * worse
    alike = compare_losses(asked, DRAW.normal(0, 0.03, len(asked.pairs)))
    pairs = [pair for pair in load_twins() if pair.identity_id in set(asked.people)]
    words = measure_twins(pairs, [([], [])] * len(pairs), lambda seen: seen)
    return Found(
        people=served.count,
        loss=3.0,
        gain=0.5,
        loss_gaps=served.gaps(losses),
        gain_gaps={},
        cost=0.25,
        cost_gaps=served.gaps(losses),
        watched=0,
        seen=Seen(silent={}, right={}),
        words={"healthcare": words},
        answers={
            "healthcare": measure_answers(
                pairs, [("", "")] * len(pairs), load_questions()[:1], lambda asks: []
            )
        },
        twins=40,
        losses=alike,
        written={},
    )


def test_sentences_name_whom_it_serves_worse_or_nobody(
    served: Served, asked: TwinQuestions
) -> None:
    worse = in_words(measured(served, 1.5, asked), None)
    assert worse.verdict.startswith("Kinds of people are served differently in 2 of 2")
    assert "by skin tone" in worse.verdict
    assert "between other and one" in worse.verdict
    assert any("more than chance explains" in said for said in worse.says[1:])

    alike = in_words(measured(served, 0.0, asked), None)
    assert alike.verdict.startswith("No kind of person is served worse")
    assert any("chance explains it" in said for said in alike.says)


def test_twins_who_are_answered_otherwise_are_in_the_verdict(
    served: Served, asked: TwinQuestions
) -> None:
    found = measured(served, 0.0, asked)
    shifted = compare_losses(asked, DRAW.normal(0.4, 0.03, len(asked.pairs)))
    kind = next(iter(shifted))
    other = in_words(replace(found, losses={**found.losses, kind: shifted[kind]}), None)
    assert other.verdict.startswith("Twins who differ in nothing else are answered otherwise")
    assert f"twins' loss by {kind.replace('_', ' ')}" in other.verdict
    assert "Surely different" in " ".join(other.says)


def test_few_people_are_told_nothing_of(served: Served, asked: TwinQuestions) -> None:
    small = replace(served, labels={"skin_tone": [str(n) for n in range(len(served.people))]})
    found = in_words(measured(small, 1.5, asked), None)
    assert found.verdict.startswith("No kind of person has 30 people")
