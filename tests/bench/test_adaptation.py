"""Forms tell readers apart, and what is said is found by the patterns of the question."""

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.bench import (
    FORMS,
    READERS,
    Ask,
    as_rows,
    ask_all,
    fits_reader,
    judge,
    measure_adaptation,
)
from discreet.bench.adaptation import Judged, _estimate, count_steps, sentence_words
from discreet.data import (
    LANGUAGES,
    Language,
    Question,
    Reader,
    compose_answer,
    load_questions,
    preference_pairs,
    reader_of,
)
from discreet.types import AGE_BANDS

Answers = dict[Reader, list[str]]


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def references(language: Language) -> Answers:
    """Everything that the shipped questions tell each reader."""
    told: Answers = {reader: [] for reader in READERS}
    for question in load_questions(language=language):
        for band in AGE_BANDS:
            for face in ("neutral", "sad"):
                answer = compose_answer(question, band, expression=face, seed=3)  # type: ignore[arg-type]
                told[reader_of(question.domain, band, face)].append(answer)  # type: ignore[arg-type]
    return told


def share(answers: list[str], reader: Reader, language: Language) -> float:
    return float(np.mean([fits_reader(answer, reader, language) for answer in answers]))


def test_reference_answers_fit_their_readers(references: Answers, language: Language) -> None:
    """All but one in a thousand: an opening can make a text of three sentences harder to read."""
    for reader, answers in references.items():
        assert share(answers, reader, language) > 0.995, reader


@pytest.mark.parametrize(
    ("written_for", "reader", "most"),
    [
        ("child", "middle_aged", 0.02),
        ("middle_aged", "child", 0.1),
        ("child", "older_adult", 0.0),
        ("young_adult", "older_adult", 0.0),
        ("middle_aged", "older_adult", 0.0),
        ("older_adult", "child", 0.0),
        ("older_adult", "middle_aged", 0.0),
        ("distressed", "middle_aged", 0.05),
    ],
)
def test_answers_for_one_reader_do_not_fit_another(
    references: Answers, language: Language, written_for: Reader, reader: Reader, most: float
) -> None:
    """A hit would mean nothing if one way of writing hit them all."""
    assert share(references[written_for], reader, language) <= most


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", 0),
        ("1. Sit. 2. Rest. 3. Drink.", 3),
        ("First: 1) Sit. 2) Rest.", 2),
        ("1. Sit.\n2. Rest.", 2),
        ("2. Rest. 3. Drink.", 0),
        ("1. Sit. 3. Drink.", 1),
        ("Drink 1. 5 litres or 2. 5 litres.", 0),
        ("Take 2 breaths. 4 are fine.", 0),
    ],
)
def test_steps_are_numbered_from_one_without_a_gap(text: str, steps: int) -> None:
    assert count_steps(text) == steps


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.booleans())
def test_words_of_a_sentence_are_counted_without_numbers_of_steps(
    lengths: list[int], numbered: bool
) -> None:
    parts = [" ".join(["word"] * n) + "." for n in lengths]
    text = " ".join(f"{n}. {p}" if numbered else p for n, p in enumerate(parts, 1))
    assert sentence_words(text) == pytest.approx(np.mean(lengths))


@pytest.mark.parametrize("reader", READERS)
def test_an_empty_or_endless_answer_fits_nobody(reader: Reader) -> None:
    assert not fits_reader("", reader, "en")
    assert not fits_reader("Drink some water now. " * 40, reader, "en")


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


def test_forms_are_told_for_every_reader_and_language() -> None:
    assert {language: set(forms) for language, forms in FORMS.items()} == {
        language: set(READERS) for language in LANGUAGES
    }
