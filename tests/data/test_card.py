"""The numbers of the data card of the conversations are those of what ships."""

from collections import Counter
from pathlib import Path
from statistics import mean

import pytest

from discreet.data import (
    FAULTS,
    LANGUAGES,
    Language,
    load_questions,
    preference_pairs,
    reference_answer,
)
from discreet.readers import Reader, reading_ease, reading_grade
from discreet.types import AGE_BANDS, DOMAINS, Domain

CARD = (Path(__file__).parents[2] / "docs" / "cards" / "conversations.md").read_text("utf-8")
READERS: tuple[Reader, ...] = (*AGE_BANDS, "distressed")
NAMES = {"en": "English", "fr": "French"}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_means_of_readability_are_in_the_table(domain: Domain, language: Language) -> None:
    measure, what = (reading_grade, "grade") if language == "en" else (reading_ease, "ease")
    questions = load_questions(domain, language=language)
    cells = [
        f"{mean(measure(reference_answer(question, reader)) for question in questions):.1f}"
        for reader in READERS
    ]
    assert f"| {NAMES[language]} {domain}, {what} | {' | '.join(cells)} |" in CARD


def test_counts_are_those_of_the_files() -> None:
    counts = [len(load_questions(domain)) for domain in DOMAINS]
    assert (
        f"{sum(counts)} questions with vetted notes in English and the same in French: "
        f"{counts[0]} of general health information and {counts[1]} of tutoring." in CARD
    )
    for language in LANGUAGES:
        pairs = preference_pairs(language=language)
        assert f"makes {len(pairs):,} pairs in each language" in CARD
        faults = Counter(pair.fault for pair in pairs)
        assert all(f"| `{fault}` | {faults[fault]} |" in CARD for fault in FAULTS)
