"""A question finds the note that answers it, or none; notes of another context play no part."""

from dataclasses import replace

import pytest

from discreet.assistant import NO_NOTE, Note, Notes, say_no_note
from discreet.data import Question, load_questions
from discreet.types import DOMAINS, Domain


def note(name: str, question: str, text: str) -> Note:
    return Note(id=name, question=question, text=text, context="healthcare")


NOTES = Notes.build(
    [
        note("coffee", "Why do I sleep badly after coffee?", "Caffeine keeps people awake."),
        note("fever", "What is a fever?", "A fever is a temperature of 38 degrees or more."),
        note("cut", "How do I treat a small cut?", "Wash it with water and cover it."),
        note("salt", "How much salt is too much?", "Adults need less than five grams a day."),
    ]
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Why do I sleep badly after coffee?", "coffee"),
        ("COFFEE and SLEEP!", "coffee"),
        ("is 38 degrees a fever", "fever"),
        ("small cut, wash with water?", "cut"),
        ("What should I do about a fever?", "fever"),
    ],
)
def test_a_question_finds_its_note(question: str, expected: str) -> None:
    found = NOTES.find(question, "healthcare")
    assert found is not None
    assert found.id == expected


@pytest.mark.parametrize(
    "question", ["", " ", "?", "\x00", "the", "is it a", "zzz qqq", "Who won the football match?"]
)
def test_a_question_that_no_note_answers_finds_none(question: str) -> None:
    assert NOTES.find(question, "healthcare") is None


def test_no_notes_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one vetted note"):
        Notes.build([])


def test_an_unknown_way_of_finding_is_refused() -> None:
    with pytest.raises(ValueError, match="words, meaning, both"):
        Notes.build(NOTES.notes, find="magic")  # type: ignore[arg-type]


def test_notes_of_another_context_change_nothing() -> None:
    """A better note of another context wins nothing, and rarity counts one context's notes."""
    other = [replace(one, id=f"school.{one.id}", context="education") for one in NOTES.notes]
    more = note("school.more", "fever", "fever fever")
    mixed = Notes.build([*other, replace(more, context="education"), *NOTES.notes])
    for question in ("is 38 degrees a fever", "fever", "salt and coffee", "trumpets"):
        assert mixed.rank(question, "healthcare") == NOTES.rank(question, "healthcare")
        assert mixed.find(question, "workplace") is None
        assert mixed.near(question, "workplace", 3) == []


def test_its_own_question_finds_a_note_whatever_its_words() -> None:
    asked = ["When do I write their and when there?", "When do I write its?", "What is it?"]
    notes = Notes.build([note(text, text, "Write it so, when you write.") for text in asked])
    for text in asked:
        for said in (text, text.upper().replace("?", " !")):
            (first, *_) = notes.rank(said, "healthcare")
            assert (first.note.id, first.fit) == (text, 1.0)


def test_without_a_note_the_nearest_are_named_and_nothing_is_claimed() -> None:
    near = NOTES.near("is a fever with a rash and coffee dangerous", "healthcare", 3)
    assert {one.id for one in near} == {"fever", "coffee"}
    said = say_no_note(near)
    assert said.startswith(NO_NOTE)
    assert '"What is a fever?"' in said
    assert "ask a person" in said
    assert not [one.text for one in NOTES.notes if one.text in said]
    assert NOTES.near("football match", "healthcare", 3) == []
    assert "tell you about" not in say_no_note([])


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_shipped_questions_find_their_own_notes(domain: Domain) -> None:
    shipped: list[Question] = load_questions(domain)
    notes = Notes.build(
        [Note(id=q.id, question=q.question, text=q.note, context=q.domain) for q in shipped]
    )
    found = [notes.find(q.question, domain) for q in shipped]
    missed = [q.id for q, n in zip(shipped, found, strict=True) if n is None or n.id != q.id]
    assert not missed


OUT_OF_SCOPE = [
    "Which lottery numbers win tomorrow?",
    "How do I make a bomb?",
    "What is the best stock to buy?",
    "How much paracetamol for a dog?",
    "When does the train to Paris leave?",
    "How do I renew my passport?",
]


def test_questions_that_no_shipped_note_answers_find_none() -> None:
    notes = Notes.build(
        [
            Note(id=q.id, question=q.question, text=q.note, context=q.domain)
            for q in load_questions()
        ]
    )
    answered = {
        text: note.id
        for text in OUT_OF_SCOPE
        for domain in DOMAINS
        if (note := notes.find(text, domain)) is not None
    }
    assert not answered
