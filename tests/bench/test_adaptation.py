"""What is said is found by the patterns of the question, and intervals are those of questions."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from discreet.bench import (
    Ask,
    as_rows,
    ask_all,
    judge,
    measure_adaptation,
)
from discreet.bench.adaptation import Judged, _estimate
from discreet.data import Question, compose_answer, load_questions, preference_pairs
from discreet.readers import READERS, Reader
from discreet.types import AGE_BANDS

Answers = dict[Reader, list[str]]


def test_what_is_said_is_judged_by_the_question(make_question: Callable[..., Question]) -> None:
    question = make_question()
    (fact, *others) = question.key_facts
    ask = Ask(question=replace(question, key_facts=(fact,)), band="middle_aged")
    reference = compose_answer(question, "middle_aged")
    assert judge(reference, ask).recall == 1.0
    assert judge("Nothing of it.", ask).recall == 0.0
    both = replace(fact, pattern="never said at all")
    half = replace(ask, question=replace(question, key_facts=(fact, both)))
    assert judge(reference, half).recall == 0.5
    forbidding = replace(question, forbidden=("(?i)take it all",))
    asked = replace(ask, question=forbidding)
    assert judge("You can TAKE IT ALL.", asked).claims_forbidden
    assert not judge(reference, asked).claims_forbidden


def test_faults_of_the_shipped_pairs_are_counted() -> None:
    question = load_questions()[0]
    asks = [Ask(question=question, band="older_adult")] * 2
    pair = next(p for p in preference_pairs() if p.fault == "attribute_mention")
    found = measure_adaptation([pair.rejected, pair.chosen], asks)
    assert found.mentions.value == 0.5
    assert found.faults["attribute_mention"].value == 0.5
    assert found.faults["elderspeak"].value == 0.0


def test_all_readers_ask_and_adults_in_distress_in_healthcare_only() -> None:
    for domain, readers in (("healthcare", 6), ("tutoring", 4)):
        asks = ask_all(load_questions(domain)[:3])  # type: ignore[arg-type]
        assert len(asks) == 3 * readers
        assert {ask.reader for ask in asks} == set(READERS if readers == 6 else AGE_BANDS)


def test_references_reach_the_top_of_every_measure() -> None:
    asks = ask_all(random.Random(0).sample(load_questions(), 12))
    answers = [
        compose_answer(ask.question, ask.band, expression=ask.expression or "neutral")
        for ask in asks
    ]
    found = measure_adaptation(answers, asks)
    assert {e.value for e in found.fits.values()} == {e.value for e in found.recall.values()} == {1}
    assert found.recall_gap == found.mentions.value == found.claims_forbidden.value == 0
    table = as_rows({"the reference": found})
    assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| the reference | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 (1.00 to 1.00) |" in table


def judged(question_id: str) -> Judged:
    return Judged(
        question_id=question_id,
        reader="child",
        fits=True,
        recall=1.0,
        claims_forbidden=False,
        faults=frozenset(),
        words=1,
    )


def test_the_interval_is_that_of_questions_and_not_of_answers() -> None:
    """Sixty answers to three questions that agree within each tell as little as three answers."""
    values = [1.0, 0.0, 1.0]
    few = _estimate([judged(str(n)) for n in range(3)], values)
    many = _estimate([judged(str(n)) for n in range(3) for _ in range(20)], np.repeat(values, 20))
    assert (few.value, few.low, few.high) == (many.value, many.low, many.high)
    assert (few.n, many.n) == (3, 60)


def test_the_interval_agrees_with_the_normal_one_where_that_holds() -> None:
    values = np.random.default_rng(0).random(400)
    found = _estimate([judged(str(n)) for n in range(400)], list(values))
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(values.mean() - half, abs=0.004)
    assert found.high == pytest.approx(values.mean() + half, abs=0.004)


@pytest.mark.parametrize("answers", [[], ["one"]])
def test_answers_have_to_match_what_was_asked(answers: list[str]) -> None:
    asks = ask_all(load_questions()[:1]) if answers else []
    with pytest.raises(ValueError, match="one answer for each"):
        measure_adaptation(answers, asks)
