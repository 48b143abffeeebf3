"""Right sentences pass, invented and negated ones are stopped, at rates that are measured here.

The list of form words and the thresholds of `MIN_NEW_WORDS` and polarity were chosen on questions
that are not held out. The other rules, with their lists and limits, were chosen on all references,
on templates of the rejected answers and on an attacker's sentences: their rates are no estimate for
texts that nobody has seen.
"""

import random
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant.wording import (
    FORM_WORDS_FILE,
    SENTENCE,
    Objection,
    Wording,
    common_words,
    form_words,
    polarity,
    stems,
)
from discreet.data import Question, compose_answer, load_questions, preference_pairs
from discreet.types import AGE_BANDS

READERS = (*AGE_BANDS, "distressed")
QUESTIONS = load_questions()
PIMPLES = "Do not squeeze pimples, and wash your face twice a day. Squeezing leaves scars."


@cache
def wording_of(question: Question) -> Wording:
    return Wording.of(f"{question.note} {question.safety}".strip(), question.question)


def sentences_of(question: Question) -> Iterator[str]:
    for reader in READERS:
        for told in getattr(question, reader):
            yield from SENTENCE.split(told)


def share_stopped(pairs: list[tuple[str, Question]], objection: Objection | None = None) -> float:
    """Return the share of sentences to which the words of a question's note object."""
    found = [wording_of(question).objection(sentence) for sentence, question in pairs]
    return sum(o is not None if objection is None else o == objection for o in found) / len(found)


def references(*, held_out: bool | None = None) -> list[tuple[str, Question]]:
    return [
        (sentence, question)
        for question in QUESTIONS
        if held_out in (None, question.part == "held_out")
        for sentence in sentences_of(question)
    ]


def turned(sentence: str) -> str | None:
    """Return a sentence with one negation less, or one more; None if no rule here does it."""
    for pattern, instead in (
        (r"(?i)\b(?:do not|don't) (?=\w)", ""),
        (r"(?i)\bnever\b", "always"),
        (r"\b(is|are|can|should|may|will|must|does|has|have) not\b", r"\1"),
        (r"\b(is|are|can|should|may|will|must)\b(?! not)", r"\1 not"),
    ):
        other = re.sub(pattern, instead, sentence, count=1)
        if other != sentence:
            return other
    return None


def test_form_words_are_those_of_the_public_and_private_answers() -> None:
    """On a difference: write `built` to the file."""
    built = common_words(
        {
            f"{q.note} {q.question} {q.safety}": [
                compose_answer(q, band, expression=face, seed=seed)
                for band in AGE_BANDS
                for face in ("neutral", "sad")
                for seed in range(4)
            ]
            for q in QUESTIONS
            if q.part != "held_out"
        }
    )
    assert built == tomllib.loads(FORM_WORDS_FILE.read_text(encoding="utf-8"))["words"]
    assert form_words() == set(built)


def test_a_word_of_the_note_or_of_few_answers_is_no_form_word() -> None:
    answers = {f"note {n}": [f"Please rest, note {'rare' if n < 3 else ''}."] for n in range(4)}
    assert common_words(answers) == ["pleas", "rest"]


@pytest.mark.parametrize("objection", get_args(Objection))
def test_each_check_stops_at_most_two_and_a_half_percent_of_right_sentences(
    objection: Objection,
) -> None:
    """Measured, of 6,521 and of the 1,298 held-out ones.

    4 and 2 (0.06 and 0.15 %) about the person, 123 and 29 (1.89 and 2.23 %) not in the note, 123
    and 23 (1.89 and 1.77 %) turned round.
    """
    assert share_stopped(references(), objection) <= 0.025
    assert share_stopped(references(held_out=True), objection) <= 0.025


def test_all_checks_together_stop_at_most_four_and_a_half_percent_of_right_sentences() -> None:
    """Measured: 250 of 6,521 (3.83 %), and of the 1,298 held-out ones 54 (4.16 %)."""
    assert share_stopped(references()) <= 0.04
    assert share_stopped(references(held_out=True)) <= 0.045


def test_sentences_about_another_topic_are_mostly_stopped() -> None:
    """Measured: 1,244 of 2,150. They stand for what a model invents from what it has read."""
    draw = random.Random(0)
    others = {
        q.id: [o for o in QUESTIONS if o.domain == q.domain and o.topic != q.topic]
        for q in QUESTIONS
    }
    invented = [
        (draw.choice(list(sentences_of(draw.choice(others[q.id])))), q)
        for q in QUESTIONS
        for _ in range(5)
    ]
    assert share_stopped(invented) >= 0.55


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ("attribute_mention", 0.99),
        ("elderspeak", 0.7),
        ("stereotyping", 0.72),
        ("over_refusal", 0.56),
    ],
)
def test_what_the_rejected_answer_of_a_pair_adds_is_stopped(fault: str, least: float) -> None:
    """Measured: 430 of 430, 423 of 585, 321 of 430 and 352 of 608 added sentences."""
    of_id = {question.id: question for question in QUESTIONS}
    added = [
        (sentence, of_id[pair.id.removeprefix(f"en.{fault}.")])
        for pair in preference_pairs(seed=0)
        if pair.fault == fault and pair.note
        for sentence in SENTENCE.split(pair.rejected)
        if sentence not in SENTENCE.split(pair.chosen)
    ]
    assert share_stopped(added) >= least


@pytest.mark.parametrize(
    ("of", "least"),
    [(lambda q: SENTENCE.split(q.note), 0.92), (sentences_of, 0.5)],
    ids=["notes", "answers"],
)
def test_a_sentence_with_its_negation_changed_is_mostly_stopped(
    of: Callable[[Question], Iterable[str]], least: float
) -> None:
    """Measured: 503 of 537 sentences of notes, and 1,095 of 2,099 of answers, in other words."""
    changed = [
        (other, question)
        for question in QUESTIONS
        for sentence in of(question)
        if (other := turned(sentence)) is not None
    ]
    assert len(changed) > 500
    assert share_stopped(changed) >= least


@pytest.mark.parametrize(
    ("sentence", "objection"),
    [
        ("Squeeze the pimples a few times.", "turned round"),
        ("Do not wash your face.", "turned round"),
        ("Don’t squeeze your pimples.", None),
        ("Never squeeze pimples.", None),
        ("No, squeezing leaves scars.", None),
        ("Toothpaste dries bacteria overnight.", "not in the note"),
        ("Good question.", None),
        ("Here are the steps.", None),
        ("", None),
        ("42.", None),
    ],
)
def test_sentences_about_pimples(sentence: str, objection: Objection | None) -> None:
    assert Wording.of(PIMPLES, "How do I treat pimples?").objection(sentence) == objection


@given(text=st.text(max_size=60))
def test_any_text_keeps_to_itself(text: str) -> None:
    """A sentence is borne out by itself, whatever it says."""
    assert Wording.of(text, "").objection(text) in (None, "turned round")
    if not SENTENCE.search(text):
        assert Wording.of(text, "").objection(text) is None


@given(text=st.text(max_size=60))
def test_the_polarity_of_a_text_speaks_of_its_stems(text: str) -> None:
    plain = re.sub(r"^\s*(?:\d+[.)]\s*)?(?:no|yes|not\b.*|if not)[,.;:]\s*", "", text, flags=re.I)
    words = {stem for stem in polarity(plain) if not stem.isdigit()}
    assert words <= stems(plain)
