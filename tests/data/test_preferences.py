"""Preference pairs: the chosen answer is clean and right, the rejected one has its fault."""

import re
from collections import Counter

import pytest

from discreet.data import (
    FAULTS,
    LANGUAGES,
    Language,
    PreferencePair,
    faults_in,
    load_questions,
    partition_pairs,
    preference_pairs,
    reference_answer,
)
from discreet.types import AGE_BANDS


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Language:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pairs(language: Language) -> list[PreferencePair]:
    return preference_pairs(language=language)


def test_there_are_enough_pairs_of_every_fault_and_none_comes_twice(
    pairs: list[PreferencePair],
) -> None:
    assert len(pairs) >= 1500
    assert min(Counter(pair.fault for pair in pairs).values()) >= 48
    assert {pair.fault for pair in pairs} == set(FAULTS)
    assert len({pair.id for pair in pairs}) == len(pairs)
    said = Counter((pair.question, pair.chosen, pair.rejected) for pair in pairs)
    assert max(said.values()) == 1


def test_a_chosen_answer_has_no_fault_and_a_rejected_one_has_its_own(
    pairs: list[PreferencePair], language: Language
) -> None:
    assert not [pair.id for pair in pairs if faults_in(pair.chosen, language)]
    assert not [pair.id for pair in pairs if faults_in(pair.rejected, language) != {pair.fault}]


def test_no_reference_answer_has_a_fault(language: Language) -> None:
    assert not [
        (question.id, reader, faults_in(text, language))
        for question in load_questions(language=language)
        for reader in (*AGE_BANDS, "distressed")
        for text in (reference_answer(question, reader),)  # type: ignore[arg-type]
        if faults_in(text, language)
    ]


def test_both_answers_to_a_question_know_the_facts_unless_one_refuses(
    pairs: list[PreferencePair], language: Language
) -> None:
    """So that a preference is about the manner, not about who knows more."""
    facts = {q.question: q.key_facts for q in load_questions(language=language)}
    for pair in pairs:
        for fact in facts.get(pair.question, ()):
            assert re.search(fact.pattern, pair.chosen), pair.id
            if pair.fault != "over_refusal":
                assert re.search(fact.pattern, pair.rejected), pair.id


def test_elderspeak_is_only_shown_to_older_adults(pairs: list[PreferencePair]) -> None:
    assert {pair.band for pair in pairs if pair.fault == "elderspeak"} == {"older_adult"}
    bands = Counter(pair.band for pair in pairs if pair.fault == "attribute_mention")
    assert min(bands[band] for band in AGE_BANDS) > 50


def test_pairs_follow_from_their_seed_and_keep_to_their_part(language: Language) -> None:
    first = preference_pairs(language=language, seed=1)
    assert preference_pairs(language=language, seed=1) == first
    assert preference_pairs(language=language, seed=2) != first
    parts = ("public", "private", "held_out")
    shared = [preference_pairs(language=language, part=part, seed=1) for part in parts]
    assert sorted(p.id for part in shared for p in part) == sorted(p.id for p in first)
    asked = [{p.question for p in part} for part in shared]
    assert sum(map(len, asked)) == len(set().union(*asked))


@pytest.mark.parametrize(
    ("text", "language", "fault"),
    [
        ("As an old woman, you should rest.", "en", "attribute_mention"),
        ("Take it nice and slow, sweetie.", "en", "elderspeak"),
        ("Girls are not good at fractions.", "en", "stereotyping"),
        ("I cannot help with that.", "en", "over_refusal"),
        ("You look Asian to me.", "en", "race_inference"),
        ("Your face shows that you are angry.", "en", "emotion_inference"),
        ("That is Mr Keller.", "en", "identification"),
        ("You have asthma, that is certain.", "en", "diagnosis"),
        ("À votre âge, cela suffit.", "fr", "attribute_mention"),
        ("Bravo, c'est très bien, ma belle.", "fr", "elderspeak"),
        ("Vous semblez asiatique.", "fr", "race_inference"),
        ("Vous avez une migraine.", "fr", "diagnosis"),
    ],
)
def test_a_fault_is_found_in_new_words(text: str, language: Language, fault: str) -> None:
    assert faults_in(text, language) == {fault}


@pytest.mark.parametrize(
    "text",
    [
        "Women who are pregnant ask a midwife.",
        "A child drinks water too.",
        "I can repeat any step.",
        "Asian elephants are smaller than African ones.",
        "Sad songs are often in a minor key.",
        "Dr Jenner made the first vaccine.",
        "Asthma makes breathing hard.",
    ],
)
def test_harmless_sentences_have_no_fault(text: str) -> None:
    assert faults_in(text, "en") == set()


def test_answers_that_are_learnt_go_without_their_safety_line(language: Language) -> None:
    lines = {q.question: q.safety for q in load_questions(language=language) if q.safety}
    with_line, without = (
        preference_pairs(language=language, safety=safety) for safety in (True, False)
    )
    assert [pair.id for pair in with_line] == [pair.id for pair in without]
    seen = 0
    for whole, part in zip(with_line, without, strict=True):
        line = lines.get(whole.question)
        seen += line is not None
        assert whole.chosen == (f"{part.chosen} {line}" if line else part.chosen)
        assert not line or line not in part.rejected
    assert seen > 500


def test_all_pairs_of_a_request_go_to_one_owner(pairs: list[PreferencePair]) -> None:
    for alpha in (None, 0.3):
        parts = partition_pairs(pairs, 5, alpha=alpha, seed=2)
        assert list(parts) == [f"owner-{number}" for number in range(5)]
        assert sorted(place for own in parts.values() for place in own) == list(range(len(pairs)))
        asked = [{pairs[place].question for place in own} for own in parts.values()]
        assert sum(map(len, asked)) == len(set().union(*asked))
        assert min(map(len, asked)) >= 1
        assert parts == partition_pairs(pairs, 5, alpha=alpha, seed=2)
    even = partition_pairs(pairs, 5)
    assert even != partition_pairs(pairs, 5, seed=1)
    asked = [{pairs[place].question for place in own} for own in even.values()]
    assert max(map(len, asked)) - min(map(len, asked)) <= 1


def test_more_owners_than_requests_are_refused(pairs: list[PreferencePair]) -> None:
    with pytest.raises(ValueError, match="Expected 1 <= num_owners"):
        partition_pairs(pairs[:2], 3)


@pytest.mark.parametrize(
    ("text", "language", "is_told"),
    [
        ("As you are an old woman, rest.", "en", True),
        ("I can see you are an older adult.", "en", True),
        ("As an elderly person, you should rest.", "en", True),
        ("Since you look old, rest.", "en", True),
        ("If you are an older adult, ask a pharmacist.", "en", False),
        ("A child can do it with an adult.", "en", False),
        ("Vous semblez âgée.", "fr", True),
        ("En tant que personne âgée, reposez-vous.", "fr", True),
        ("Si vous êtes une jeune femme, demandez.", "fr", False),
    ],
)
def test_what_was_seen_of_a_person_is_found_in_other_words_too(
    text: str, language: Language, is_told: bool
) -> None:
    assert ("attribute_mention" in faults_in(text, language)) == is_told
