"""Forms tell readers apart, and are counted as a reader of the text would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.data import LANGUAGES, Language, compose_answer, load_questions
from discreet.readers import (
    FORMS,
    READERS,
    Reader,
    count_steps,
    fits_reader,
    reader_of,
    sentence_words,
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


def test_forms_are_told_for_every_reader_and_language() -> None:
    assert {language: set(forms) for language, forms in FORMS.items()} == {
        language: set(READERS) for language in LANGUAGES
    }
