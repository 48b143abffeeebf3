"""A question finds the note that answers it, or none."""

import pytest

from discreet.assistant import Note, Notes
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
    ],
)
def test_a_question_finds_its_note(question: str, expected: str) -> None:
    found = NOTES.find(question)
    assert found is not None
    assert found.id == expected


@pytest.mark.parametrize(
    "question", ["", " ", "?", "\x00", "the", "is it a", "zzz qqq", "Who won the football match?"]
)
def test_a_question_that_no_note_answers_finds_none(question: str) -> None:
    assert NOTES.find(question) is None


def test_no_notes_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one vetted note"):
        Notes.build([])


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_shipped_questions_find_their_own_notes(domain: Domain) -> None:
    shipped: list[Question] = load_questions(domain)
    notes = Notes.build(
        [Note(id=q.id, question=q.question, text=q.note, context=q.domain) for q in shipped]
    )
    found = [notes.find(q.question) for q in shipped]
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
    answered = {text: note.id for text in OUT_OF_SCOPE if (note := notes.find(text)) is not None}
    assert not answered
