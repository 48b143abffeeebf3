"""Whoever refuses, takes back or is a child is served as somebody who was never asked.

Real policies, notices, store and assistant, with a real `tiny` that writes the answers; only what a
perceiver sees is fixed.
"""

import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL.Image import Image

from discreet.assistant import (
    CONTEXTS,
    EMERGENCY,
    Assistant,
    Note,
    Notes,
    Reply,
    Turn,
    load_policy,
)
from discreet.assistant.sight import NOT_ESTIMATED, NOT_FOR_MINORS
from discreet.consent import ConsentStore, load_notice
from discreet.consent.records import ConsentRecord
from discreet.data import Question
from discreet.model import Vlm
from discreet.types import FaceCount, Observation, Percept

ASKED = "Why do I sleep badly after coffee?"
LOOKING = [("healthcare", "inform"), ("healthcare", "comfort"), ("education", "explain")]
LOOKING += [("home", "talk"), ("research", "study")]


@dataclass
class SadElder:
    """Sees an upset older adult in every picture, and remembers what it was asked for."""

    asked: list[list[str]] = field(default_factory=list)

    def perceive(self, image: Image, attributes: Collection[str]) -> Percept:
        self.asked.append(sorted(attributes))
        sees = {"age_band": "older_adult", "expression": "sad"}
        return Percept(
            present=None,
            faces=FaceCount(value="one", confidence=0.95),
            observations=tuple(
                Observation(
                    attribute=name,  # type: ignore[arg-type]
                    value=sees[name],
                    source="estimated",
                    confidence=0.95,
                )
                for name in attributes
            ),
        )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConsentStore]:
    store = ConsentStore(tmp_path / "store")
    yield store
    store.close()


def assistant_of(vlm: Vlm, questions: list[Question], context: str) -> tuple[Assistant, SadElder]:
    perceiver = SadElder()
    notes = [
        Note(id=one.id, question=one.question, text=one.note, context=context) for one in questions
    ]
    built = Assistant(
        vlm=vlm,
        policy=load_policy(context),
        notes=Notes.build(notes),
        perceiver=perceiver,
        drafts=1,
    )
    return built, perceiver


def served(assistant: Assistant, turn: Turn) -> Reply:
    """Return an answer, without the time that it took."""
    return replace(assistant.reply(turn, max_new_tokens=8), seconds=0.0)


def answer(
    store: ConsentStore, person: str, context: str, *, yes: bool, guardian: bool = False
) -> ConsentRecord:
    """Answer all that is asked of somebody in the same way."""
    notice = load_notice(context, "en", guardian=guardian)
    say = store.give if yes else store.refuse
    return say(
        person, notice.names, notice=notice, language="en", method="button", guardian=guardian
    )


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_a_notice_asks_is_what_the_policy_needs_consent_for(context: str) -> None:
    policy = load_policy(context)
    needed = {name for purpose in policy.purposes for name in policy.consentable(purpose)}
    assert set(load_notice(context, "en").names) == needed
    for name in policy.purposes:
        assert not set(policy.consentable(name)) & set(
            load_notice(context, "en", guardian=True).names
        )


@pytest.mark.parametrize(("context", "purpose"), LOOKING)
def test_a_record_names_the_legal_basis_that_the_policy_names(
    store: ConsentStore, context: str, purpose: str
) -> None:
    person = secrets.token_hex()
    record = answer(store, person, context, yes=True).to_jsonld()
    basis = load_policy(context).purpose_of(purpose).legal_basis
    found = {
        process["dpv:hasLegalBasis"]
        for process in record["dpv:hasProcess"]
        if process["dct:title"].startswith(f"{purpose}/")
    }
    assert found == {basis.replace("gdpr-", "eu-gdpr:A")}


@pytest.mark.parametrize(("context", "purpose"), LOOKING)
@pytest.mark.parametrize("declared", [{}, {"age_band": "older_adult"}], ids=["silent", "declared"])
def test_who_refuses_or_takes_back_is_answered_as_who_was_never_asked(
    store: ConsentStore,
    tiny: Vlm,
    questions: list[Question],
    faces: list[Image],
    context: str,
    purpose: str,
    declared: dict[str, str],
) -> None:
    assistant, perceiver = assistant_of(tiny, questions, context)
    never, refused, back = (secrets.token_hex() for _ in range(3))
    answer(store, refused, context, yes=False)
    answer(store, back, context, yes=True)
    turn = Turn(question=ASKED, image=faces[0], purpose=purpose, declared=declared)

    before = served(assistant, replace(turn, consented=store.active(back)))
    assert perceiver.asked or declared, "a yes is acted on"
    assert declared or before.decision.passed
    store.withdraw(back, load_notice(context, "en").names)

    perceiver.asked.clear()
    replies = [
        served(assistant, replace(turn, consented=store.active(person)))
        for person in (never, refused, back)
    ]
    blind = served(assistant, replace(turn, image=None))
    assert replies == [replace(blind, left_out=NOT_ESTIMATED)] * 3, "and is told why"
    assert replies[0].note_id == questions[0].id
    assert perceiver.asked == [], "nobody looks, at the next turn already"


@pytest.mark.parametrize("yes", [True, False])
def test_a_child_is_never_looked_at_and_keeps_its_protective_answers_whatever_is_said(
    store: ConsentStore, tiny: Vlm, questions: list[Question], faces: list[Image], yes: bool
) -> None:
    assistant, perceiver = assistant_of(tiny, questions, "healthcare")
    person = secrets.token_hex()
    answer(store, person, "healthcare", yes=True)
    answer(store, person, "healthcare", yes=yes, guardian=True)
    child = {"age_band": "child"}
    turn = Turn(question=ASKED, image=faces[0], declared=child, consented=store.active(person))
    alone = served(assistant, Turn(question=ASKED, declared=child))
    assert served(assistant, turn) == replace(alone, left_out=NOT_FOR_MINORS)
    assert [seen.source for seen in alone.decision.passed] == ["declared"]
    assert perceiver.asked == []
    in_danger = replace(turn, question="I have chest pain")
    assert assistant.reply(in_danger).text.startswith(EMERGENCY)
