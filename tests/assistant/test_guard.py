"""What must not be said is not shown, not even for a moment; what is shown is the answer."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import Note
from discreet.assistant.guard import Enough, Guard, is_emergency
from discreet.data import load_questions
from discreet.types import AGE_BANDS

PILLS = Note(
    id="pills",
    question="What if I forget a pill?",
    text="Read the leaflet or ask a pharmacist. Never take a double dose. Wait 6 hours.",
    context="healthcare",
    safety="Ask a doctor if unsure.",
    forbidden=("(?i)take (two|a double)",),
)


def guarded(text: str, note: Note = PILLS, size: int = 3) -> tuple[str, str | None, str]:
    """Return the answer, the reason and what was shown, of a text that comes in pieces."""
    shown: list[str] = []
    guard = Guard(note, "What if I forget?", shown.append)
    with suppress(Enough):
        for start in range(0, len(text), size):
            guard.take(text[start : start + size])
    answer, reason = guard.close()
    return answer, reason, "".join(shown)


def test_a_good_answer_is_shown_as_it_is_and_ends_with_the_safety_line() -> None:
    text = "Read the leaflet. Ask a pharmacist."
    assert guarded(text)[:2] == (f"{text} Ask a doctor if unsure.", None)
    assert guarded(f"{text} {PILLS.safety}")[0].count(PILLS.safety) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("If you miss one, take two. Then rest.", "forbids"),
        ("Read the leaflet. You can take a\ndouble dose. Then rest.", "forbids"),
        ("Read the leaflet. Wait 9 hours.", "number"),
        ("Read the leaflet. Wait twelve hours.", "number"),
        ("Ask for half a pill.", "number"),
    ],
)
def test_what_must_not_be_said_is_never_shown(text: str, reason: str) -> None:
    for size in (1, 3, 99):
        answer, found, shown = guarded(text, size=size)
        assert reason in (found or "")
        assert PILLS.text in answer
        own = shown.replace(PILLS.text, "")
        assert not re.search("two|double|9|twelve|half", own)


def test_numbers_of_note_and_steps_are_no_new_ones() -> None:
    text = "1. Read the leaflet.\n2. Wait six hours.\n3. Ask a pharmacist."
    assert guarded(text)[:2] == (f"{text} {PILLS.safety}", None)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (
            "Read the leaflet. Ask a pharmacist. Read the leaflet. More.",
            "Read the leaflet. Ask a pharmacist.",
        ),
        ("Read the leaflet. Question: What now? Yes.", "Read the leaflet."),
        ("Read the leaflet. Then you should al", "Read the leaflet."),
        ("Note: Read the leaflet. Ask.", "Read the leaflet. Ask."),
        ("", PILLS.text),
        ("Read the leaflet", "Read the leaflet"),
    ],
    ids=["loop", "echo", "cut off", "label", "silence", "no full stop"],
)
def test_an_answer_ends_where_it_has_nothing_more_to_say(text: str, kept: str) -> None:
    assert guarded(text)[0] == f"{kept} {PILLS.safety}"


@given(text=st.text(alphabet="ab .\n!129", max_size=60), size=st.integers(1, 9))
def test_what_was_shown_is_the_answer_however_it_comes(text: str, size: int) -> None:
    answer, _, shown = guarded(text, size=size)
    assert shown.strip() == answer == guarded(text, size=99)[0]


def test_every_reference_answer_of_every_note_may_be_said() -> None:
    """The answers were written by hand: a rule that stops them would be wrong."""
    stopped = []
    for q in load_questions():
        note = Note(
            id=q.id,
            question=q.question,
            text=q.note,
            context="healthcare",
            safety=q.safety,
            forbidden=q.forbidden,
        )
        stopped += [
            f"{q.id} {reader}"
            for reader in (*AGE_BANDS, "distressed")
            if guarded(" ".join(getattr(q, reader)), note)[1]
        ]
    assert not stopped


@pytest.mark.parametrize(
    "question",
    [
        "I have chest pain",
        "My chest hurts and I can't breathe",
        "I cannot breathe",
        "There is a lot of blood",
        "I am having a heart attack",
        "I want to kill myself",
        "My baby swallowed bleach",
        "I took too many pills and want to die",
        "My dad fainted",
    ],
)
def test_danger_to_life_is_heard(question: str) -> None:
    assert is_emergency(question)


def test_shipped_questions_are_no_emergencies_but_those_that_are() -> None:
    heard = [q.id for q in load_questions() if is_emergency(q.question)]
    assert len(heard) <= 3, heard
