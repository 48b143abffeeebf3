"""Danger to life is heard however it is written, measured on phrases older than the patterns."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.assistant import emergency
from discreet.assistant.emergency import HEARD, is_emergency, plain
from discreet.data import load_questions
from discreet.types import Language

LANGUAGES: tuple[Language, ...] = ("en", "fr")
TULIP = "The tulip is a flower of spring. "
TRULY = {
    f"healthcare.{name}"
    for name in (
        "first-aid.poison",
        "first-aid.choking",
        "first-aid.fainting",
        "first-aid.seizure",
        "first-aid.heavy-bleeding",
        "first-aid.unconscious",
        "first-aid.cpr",
        "medication.too-much",
    )
}
"""What somebody asks while it happens; the note follows the emergency text."""


def phrases(half: str, kind: str, languages: tuple[Language, ...] = LANGUAGES) -> list[str]:
    path = Path(__file__).parent / f"emergencies.{half}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return [phrase for language in languages for phrase in table[language][kind]]


def test_no_phrase_is_in_both_halves_and_there_are_enough() -> None:
    for kind in ("danger", "harmless"):
        held_out, tuned = phrases("held_out", kind), phrases("tuned", kind)
        assert not {plain(p) for p in held_out} & {plain(p) for p in tuned}
        assert len(held_out) >= 60
        assert len(held_out) + len(tuned) >= 120


def test_few_dangers_are_missed_and_few_harmless_phrases_taken_on_the_held_out_half() -> None:
    """Measured: 2 of 93 missed (2.2 %), 6 of 91 taken (6.6 %). The bound is what was measured.

    The author of the patterns knew the phrases: real rates are higher.
    """
    danger, harmless = phrases("held_out", "danger"), phrases("held_out", "harmless")
    missed = [phrase for phrase in danger if not is_emergency(phrase)]
    taken = [phrase for phrase in harmless if is_emergency(phrase)]
    assert (len(danger), len(harmless)) == (93, 91)
    assert len(missed) <= 2, f"{len(missed) / len(danger):.1%} missed"
    assert len(taken) <= 6, f"{len(taken) / len(harmless):.1%} taken"


def test_what_patterns_are_written_on_is_heard() -> None:
    assert not [p for p in phrases("tuned", "danger") if not is_emergency(p)]
    assert len([p for p in phrases("tuned", "harmless") if is_emergency(p)]) <= 3


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace(" ", "\n"),
        lambda text: text.replace(" ", "\u00a0"),
        lambda text: text.replace(" ", "-"),
        lambda text: text.replace("'", "´"),
        lambda text: text.replace("'", "’"),
        lambda text: "\u200b".join(text),
        lambda text: text.replace("a", "\u0430").replace("e", "\u0435"),  # Cyrillic
        lambda text: text.replace("o", "\u03bf"),  # Greek
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
        lambda text: f"{TULIP * 600}{text}",
        lambda text: f"{text}. {TULIP * 600}",
    ],
)
def test_danger_is_heard_in_every_form_of_writing(change: object) -> None:
    assert callable(change)
    known = [p for p in phrases("tuned", "danger") if is_emergency(p)]
    assert not [phrase for phrase in known if not is_emergency(change(phrase))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_shipped_questions_are_no_emergencies_but_those_that_are(language: Language) -> None:
    asked = load_questions(language=language)
    assert len(asked) == 430
    assert {question.id for question in asked if is_emergency(question.question)} <= TRULY


@pytest.mark.parametrize(
    ("harmless", "danger"),
    [
        ("What is a heart attack?", "What do I do, is it a heart attack?"),
        ("I do not have chest pain", "I do not have insurance and I have chest pain"),
        ("I had a seizure ten years ago", "I had a seizure ten minutes ago"),
        ("What is a stroke?", "What is a stroke? My dad's mouth droops."),
        ("Comment éviter un AVC ?", "Comment savoir si elle fait un AVC ?"),
        ("Je n'ai pas de douleur dans la poitrine", "Je n'en peux plus, j'ai envie de mourir"),
    ],
)
def test_each_rule_that_lets_a_danger_pass_has_an_end(harmless: str, danger: str) -> None:
    assert (is_emergency(harmless), is_emergency(danger)) == (False, True)


def test_no_pattern_repeats_without_bound() -> None:
    """So that the work for each of at most `HEARD` characters is bounded."""
    for words in emergency._languages():
        rules = {name: getattr(words, name) for name in words.__slots__ if name != "kinds"}
        for name, pattern in {**rules, **words.kinds}.items():
            assert not re.search(r"(?<!\\)[*+]|\{\d*,\}", pattern.pattern), name


@given(st.text(st.characters(), max_size=300), st.integers(1, 400))
def test_any_text_is_heard_and_never_more_than_a_bounded_part(text: str, times: int) -> None:
    assert len(plain(text * times)) <= 4 * HEARD
    is_emergency(text)


@given(
    st.lists(
        st.sampled_from(["serre", "pain ", "in ", "my ", "not ", ",", "bleeding "]), min_size=1
    )
)
def test_a_longer_text_is_not_more_to_read(parts: list[str]) -> None:
    once = plain("".join(parts) * HEARD)
    assert abs(len(once) - len(plain("".join(parts) * 2 * HEARD))) <= HEARD
