"""The questions that ship: complete, safe, and written for every reader in both languages."""

import re
from collections import Counter
from statistics import mean

import pytest

from discreet.data import (
    LANGUAGES,
    Language,
    Question,
    compose_answer,
    load_questions,
    reference_answer,
    split_questions,
)
from discreet.readers import READING_BANDS, Reader, in_band, reading_ease, reading_grade, smog_grade
from discreet.types import AGE_BANDS, DISTRESSED, DOMAINS, EXPRESSIONS, Domain

READERS: tuple[Reader, ...] = (*AGE_BANDS, "distressed")
SEEDS = range(4)
TOPICS = {
    "healthcare": {
        *("medication", "sleep", "falls", "nutrition", "vaccination", "skin", "first aid"),
        *("stress", "teeth", "see a doctor"),
    },
    "tutoring": {"fractions", "reading", "photosynthesis", "planets", "computer help", "french"},
}
_SEEN = {
    "en": re.compile(r"(?i)\byou (look|seem|appear)\b|\bI (see|can see) that you\b"),
    "fr": re.compile(r"(?i)\b(vous avez|tu as) l'air\b|\b(vous semblez|tu sembles|je vois que)\b"),
}

_FROM_TWO = {
    "en": "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen",
    "fr": "deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
}
_TENS_FROM_TWENTY = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety hundred",
    "fr": "vingt trente quarante cinquante soixante soixante-dix quatre-vingt quatre-vingt-dix "
    "cent",
}


def numbers(text: str, language: Language) -> set[int]:
    """Return the numbers of a text, in digits or in words from two upwards."""
    values = {"thousand" if language == "en" else "mille": 1000}
    values |= {word: n for n, word in enumerate(_FROM_TWO[language].split(), 2)}
    values |= {word: 10 * n for n, word in enumerate(_TENS_FROM_TWENTY[language].split(), 2)}
    word = rf"\b({'|'.join(sorted(values, key=len, reverse=True))})s?\b"
    return {
        int(found[0]) if found[0].isdigit() else sum(values[w] for w in re.findall(word, found[0]))
        for found in re.findall(rf"(\d+|{word}(?:-{word})*)", text.lower())
    }


@pytest.fixture(scope="module", params=[(d, lang) for d in DOMAINS for lang in LANGUAGES], ids=str)
def shipped(request: pytest.FixtureRequest) -> list[Question]:
    domain, language = request.param
    return load_questions(domain, language=language)


def test_there_are_enough_questions_on_the_promised_topics(shipped: list[Question]) -> None:
    assert len(shipped) >= 200
    topics = Counter(question.topic for question in shipped)
    assert min(topics[topic] for topic in TOPICS[shipped[0].domain]) >= 10


def test_both_languages_ask_the_same_and_ids_are_unique() -> None:
    every = [load_questions(language=language) for language in LANGUAGES]
    assert len(every[0]) >= 400
    for first, second in zip(*every, strict=True):
        for name in ("id", "part", "domain", "topic"):
            assert getattr(first, name) == getattr(second, name)
    assert len({q.id for q in every[0]}) == len(every[0])
    assert not [q.id for q in every[0] if not q.id.startswith(f"{q.domain}.")]
    assert every[0] == [q for domain in DOMAINS for q in load_questions(domain)]


def test_no_question_is_asked_twice(shipped: list[Question]) -> None:
    asked = Counter(" ".join(q.question.lower().split()) for q in shipped)
    assert not [text for text, count in asked.items() if count > 1]


def test_every_question_is_complete(shipped: list[Question]) -> None:
    for question in shipped:
        lists = [getattr(question, reader) for reader in READERS]
        texts = [question.question, question.note, *(text for told in lists for text in told)]
        assert all(text == text.strip() and text for text in texts), question.id
        assert all(told for told in lists), question.id
        assert question.key_facts, question.id
        assert question.forbidden, question.id
        assert 2 <= len(question.older_adult) <= 7, question.id
        assert len(set(map(tuple, lists))) == len(READERS), question.id


def test_a_safety_line_ends_every_healthcare_answer_however_people_feel() -> None:
    for language in LANGUAGES:
        for question in load_questions("healthcare", language=language):
            assert question.safety, question.id
            for reader in READERS:
                assert reference_answer(question, reader).endswith(question.safety)
            for band in AGE_BANDS:
                for expression in EXPRESSIONS:
                    text = compose_answer(question, band, expression=expression)
                    assert question.safety in text


@pytest.mark.parametrize("reader", READERS)
def test_every_answer_says_the_key_facts_and_nothing_forbidden(
    shipped: list[Question], reader: Reader
) -> None:
    wrong = [
        (question.id, what)
        for question in shipped
        for text in [reference_answer(question, reader)]
        for what in [
            *(f.name for f in question.key_facts if not re.search(f.pattern, text)),
            *(pattern for pattern in question.forbidden if re.search(pattern, text)),
        ]
    ]
    assert not wrong


def test_openings_and_closings_claim_nothing_forbidden(shipped: list[Question]) -> None:
    assert not [
        (question.id, pattern)
        for question in shipped
        for band in AGE_BANDS
        for expression in EXPRESSIONS
        for seed in SEEDS
        for text in [compose_answer(question, band, expression=expression, seed=seed)]
        for pattern in question.forbidden
        if re.search(pattern, text)
    ]


def test_no_note_says_what_is_forbidden(shipped: list[Question]) -> None:
    assert not [q.id for q in shipped for p in q.forbidden if re.search(p, q.note)]


def test_numbers_are_found_in_digits_and_in_words() -> None:
    assert numbers("Seven of 10, twenty-five, someone, often", "en") == {7, 10, 25}
    assert numbers("Quatre-vingt-dix, dix-neuf, vingt-cinq, 200", "fr") == {90, 19, 25, 200}
    assert numbers("Quatre fois vingt, une dizaine, neuve", "fr") == {4, 20}


@pytest.mark.parametrize("reader", READERS)
def test_every_number_in_an_answer_is_in_its_note_or_question(
    shipped: list[Question], reader: Reader
) -> None:
    new = [
        (question.id, sorted(said - known))
        for question in shipped
        for said in [numbers(" ".join(getattr(question, reader)), question.language)]
        for known in [numbers(f"{question.note} {question.question}", question.language)]
        if not said <= known
    ]
    assert not new


@pytest.mark.parametrize("reader", READERS)
def test_every_answer_is_as_easy_as_its_reader_needs(
    shipped: list[Question], reader: Reader
) -> None:
    assert not [
        question.id
        for question in shipped
        if not in_band(reference_answer(question, reader), reader, question.language)
    ]


def test_readers_are_told_apart_by_how_hard_the_text_is(shipped: list[Question]) -> None:
    """In English by school years, in French by points of ease, of which ten are a level."""
    english = shipped[0].language == "en"

    def easier(reader: Reader) -> float:
        texts = [
            [reference_answer(question, told) for question in shipped]
            for told in (reader, "middle_aged")
        ]
        own, other = (mean(map(reading_grade if english else reading_ease, t)) for t in texts)
        return other - own if english else own - other

    assert easier("child") > (2 if english else 10)
    assert easier("distressed") > (2 if english else 6)
    assert easier("older_adult") > (1 if english else 2)


def test_smog_of_all_answers_together_agrees() -> None:
    """SMOG needs 30 sentences, which only many answers have; grade 8 is what patients are due."""
    questions = load_questions()
    grades = {
        reader: smog_grade(" ".join(s for q in questions for s in getattr(q, reader)))
        for reader in READERS
    }
    assert grades["child"] < 6
    assert grades["distressed"] < 7
    assert grades["older_adult"] < 8
    assert grades["child"] < grades["young_adult"] <= 10
    assert grades["child"] < grades["middle_aged"] <= 10


def test_the_point_comes_first_for_young_adults_and_a_reason_for_others(
    shipped: list[Question],
) -> None:
    for question in shipped:
        young, older = (
            len(" ".join(told).split()) for told in (question.young_adult, question.middle_aged)
        )
        assert young <= older, question.id


def test_older_adults_get_numbered_steps_of_one_action(shipped: list[Question]) -> None:
    for question in shipped:
        text = reference_answer(question, "older_adult")
        numbers = [int(n) for n in re.findall(r"(?<![\d.,])(\d)\. (?=\S)", text)]
        assert numbers[: len(question.older_adult)] == list(
            range(1, len(question.older_adult) + 1)
        ), question.id
        assert max(len(step.split()) for step in question.older_adult) <= 13, question.id


def test_nobody_is_told_how_they_look_or_feel(shipped: list[Question]) -> None:
    assert not [
        question.id
        for question in shipped
        for reader in READERS
        if _SEEN[question.language].search(reference_answer(question, reader))
    ]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sad_or_angry_face_changes_healthcare_answers_and_no_tutoring_answer(
    domain: Domain, language: Language
) -> None:
    for question in load_questions(domain, language=language):
        for band in AGE_BANDS:
            for expression in EXPRESSIONS:
                calm = compose_answer(question, band, seed=1)
                shown = compose_answer(question, band, expression=expression, seed=1)
                changes = domain == "healthcare" and expression in DISTRESSED
                assert (shown != calm) == changes, question.id


def test_each_part_of_the_questions_has_every_large_topic(shipped: list[Question]) -> None:
    split = split_questions(shipped)
    topics = Counter(question.topic for question in shipped)
    large = {topic for topic, count in topics.items() if count >= 10}
    for part in (split.public, split.private, split.held_out):
        assert large <= {question.topic for question in part}
    assert len(split.private) > 2 * len(split.held_out)


def test_reading_bands_name_every_reader() -> None:
    assert all(set(bands) == set(READERS) for bands in READING_BANDS.values())
