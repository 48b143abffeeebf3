"""Held-out scores, judged without a judge."""

import pytest

from discreet.bench import audience_of_answer, load_held_out
from discreet.bench.tasks import reading_grade
from discreet.data import compose_answer, hold_out, load_portraits, load_questions
from discreet.types import AUDIENCES, audience_of


def test_the_form_of_reference_answers_tells_their_audience() -> None:
    """The rule knows nothing of the writer; it is right for at least 19 in 20 of them."""
    questions = load_questions()
    for audience in AUDIENCES:
        right = sum(audience_of_answer(compose_answer(q, audience)) == audience for q in questions)
        assert right / len(questions) >= 0.95, audience


@pytest.mark.parametrize(
    ("answer", "audience"),
    [
        ("1. Sit down. 2. Breathe slowly. 3. Call someone.", "older_adult"),
        ("Your bones need milk. Milk is good. Ask a grown-up.", "child"),
        ("Regular physical activity strengthens the cardiovascular system considerably.", "adult"),
    ],
)
def test_the_form_of_an_answer_is_read(answer: str, audience: str) -> None:
    assert audience_of_answer(answer) == audience


def test_reading_grade_of_a_hand_computed_text() -> None:
    """0.39 * 10 words / 2 sentences + 11.8 * 10 syllables / 10 words - 15.59 = -1.84."""
    text = "The cat sat on mats. The dog ran to us."
    assert reading_grade(text) == pytest.approx(0.39 * 5 + 11.8 * 1 - 15.59, abs=0.1)


def test_held_out_people_and_questions_were_never_trained_on() -> None:
    held_out = load_held_out(examples=40, ranked=30)
    trained_people = {p.identity_id for p in load_portraits("train")}
    trained_questions = {q.id for q in hold_out(load_questions())[0]}
    for example in [*held_out.examples, *held_out.ranked]:
        assert example.identity_id not in trained_people
        assert example.question_id not in trained_questions
    counts = [audience_of(e.age_band) for e in held_out.ranked]
    assert {counts.count(audience) for audience in AUDIENCES} == {10}
