"""Every language has every fixed text."""

from dataclasses import astuple
from itertools import combinations

from discreet.assistant import EMERGENCY, NO_NOTE
from discreet.assistant.texts import TEXTS
from discreet.types import Language

LANGUAGES: tuple[Language, ...] = ("en", "fr")


def test_every_language_has_every_text_and_none_twice() -> None:
    texts = [text for language in LANGUAGES for text in astuple(TEXTS[language])]
    assert all(texts)
    assert not [pair for pair in combinations(texts, 2) if pair[0] == pair[1]]
    assert (TEXTS["en"].no_note, TEXTS["en"].emergency) == (NO_NOTE, EMERGENCY)
