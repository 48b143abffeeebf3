"""The questions that ship: complete, safe, and written for the three audiences."""

import re
import warnings
from collections import Counter
from statistics import mean

import pytest

from discreet.data import Question, compose_answer, load_questions, split_questions
from discreet.data.conversations import DISTRESSED
from discreet.types import AUDIENCES, DOMAINS, EXPRESSIONS, Audience, Domain

SEEDS = range(6)
CHILD_GRADE = 5.0
"""Highest grade of a child's answer: a reader of ten."""


@pytest.fixture(scope="module", params=DOMAINS)
def shipped(request: pytest.FixtureRequest) -> list[Question]:
    return load_questions(request.param)


def answers(question: Question, audience: Audience) -> set[str]:
    return {
        compose_answer(question, audience, expression=expression, seed=seed)
        for expression in EXPRESSIONS
        for seed in SEEDS
    }


def grade(text: str) -> float:
    """Return the Flesch-Kincaid grade (Kincaid et al. 1975)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # textstat imports pkg_resources
        import textstat

        return float(textstat.flesch_kincaid_grade(text))


def test_a_domain_has_enough_questions_on_enough_topics(shipped: list[Question]) -> None:
    assert len(shipped) >= 60
    assert len({question.topic for question in shipped}) >= 5


def test_ids_are_unique_and_name_their_domain() -> None:
    every = load_questions()
    assert not [name for name, count in Counter(q.id for q in every).items() if count > 1]
    assert not [q.id for q in every if not q.id.startswith(f"{q.domain}.")]
    assert every == [q for domain in DOMAINS for q in load_questions(domain)]


def test_no_question_is_asked_twice(shipped: list[Question]) -> None:
    asked = Counter(" ".join(q.question.lower().split()) for q in shipped)
    assert not [text for text, count in asked.items() if count > 1]


def test_every_question_is_complete(shipped: list[Question]) -> None:
    for question in shipped:
        texts = [question.question, question.note, *question.child, *question.adult]
        texts += question.steps
        assert all(text == text.strip() and text for text in texts), question.id
        assert question.key_facts, question.id
        assert question.forbidden, question.id
        assert question.child, question.id
        assert question.adult, question.id
        assert len(question.steps) >= 2, question.id


def test_a_safety_line_reaches_every_audience_however_they_feel() -> None:
    warned = [question for question in load_questions("healthcare") if question.safety]
    assert len(warned) >= 40
    for question in warned:
        for audience in AUDIENCES:
            assert all(question.safety in text for text in answers(question, audience))


@pytest.mark.parametrize("audience", AUDIENCES)
def test_every_answer_says_the_key_facts_and_nothing_forbidden(
    shipped: list[Question], audience: Audience
) -> None:
    wrong = [
        (question.id, what)
        for question in shipped
        for text in answers(question, audience)
        for what in [
            *(f.name for f in question.key_facts if not re.search(f.pattern, text)),
            *(pattern for pattern in question.forbidden if re.search(pattern, text)),
        ]
    ]
    assert not wrong


def test_no_note_says_what_is_forbidden(shipped: list[Question]) -> None:
    assert not [q.id for q in shipped for p in q.forbidden if re.search(p, q.note)]


def test_children_get_short_words(shipped: list[Question]) -> None:
    grades = {q.id: grade(compose_answer(q, "child")) for q in shipped}
    assert not {name: value for name, value in grades.items() if value > CHILD_GRADE}
    adult = mean(grade(compose_answer(q, "adult")) for q in shipped)
    assert mean(grades.values()) < adult - 2, "two school years below the adult's answer"


def test_older_adults_get_numbered_steps(shipped: list[Question]) -> None:
    for question in shipped:
        text = compose_answer(question, "older_adult")
        assert [int(n) for n in re.findall(r"(?<![\d.])(\d+)\. (?=[A-Z])", text)][
            : len(question.steps)
        ] == list(range(1, len(question.steps) + 1)), question.id


@pytest.mark.parametrize("domain", DOMAINS)
def test_distress_changes_healthcare_answers_and_no_tutoring_answer(domain: Domain) -> None:
    for question in load_questions(domain):
        for audience in AUDIENCES:
            for expression in EXPRESSIONS:
                calm = compose_answer(question, audience, seed=1)
                shown = compose_answer(question, audience, expression=expression, seed=1)
                changes = domain == "healthcare" and expression in DISTRESSED
                assert (shown != calm) == changes, question.id


def test_each_part_of_the_questions_has_several_topics(shipped: list[Question]) -> None:
    split = split_questions(shipped)
    for part in (split.public, split.private, split.held_out):
        assert len({question.topic for question in part}) >= 4
