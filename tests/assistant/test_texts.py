"""Danger to life is heard in both languages, and every language has every fixed text."""

from dataclasses import astuple
from itertools import combinations

import pytest

from discreet.assistant import EMERGENCY, NO_NOTE
from discreet.assistant.texts import TEXTS, is_emergency
from discreet.data import Language, load_questions

LANGUAGES: tuple[Language, ...] = ("en", "fr")


def test_every_language_has_every_text_and_none_twice() -> None:
    texts = [text for language in LANGUAGES for text in astuple(TEXTS[language])]
    assert all(texts)
    assert not [pair for pair in combinations(texts, 2) if pair[0] == pair[1]]
    assert (TEXTS["en"].no_note, TEXTS["en"].emergency) == (NO_NOTE, EMERGENCY)


@pytest.mark.parametrize(
    "question",
    [
        "I have chest pain",
        "My chest hurts and I can't breathe",
        "I cannot breathe",
        "There is a lot of blood",
        "I am having a heart attack",
        "I want to kill myself",
        "My baby swallowed bleach",
        "I took too many pills and want to die",
        "My dad fainted",
        "J'ai mal à la poitrine",
        "J’ai une douleur forte dans la poitrine",
        "je n'arrive plus a respirer",
        "Il ne respire plus",
        "Je crois que je fais une crise cardiaque",
        "Je veux mourir",
        "Mon bébé a avalé de la javel",
        "Elle s'est évanouie",
        "J'ai pris trop de comprimés",
        "Il perd beaucoup de sang",
    ],
)
def test_danger_to_life_is_heard(question: str) -> None:
    assert is_emergency(question)


@pytest.mark.parametrize("language", LANGUAGES)
def test_shipped_questions_are_no_emergencies_but_those_that_are(language: Language) -> None:
    heard = [q.id for q in load_questions(language=language) if is_emergency(q.question)]
    assert len(heard) <= 5, heard
    assert all("first-aid" in name or name.endswith("too-much") for name in heard), heard
