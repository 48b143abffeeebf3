"""What an answer for one reader looks like, and whether a text looks like that: by counting alone.

Form is readability, length, sentences and steps. The limits were chosen so that the shipped
reference answers are inside those of their reader, and mostly outside those of others.

    >>> fits_reader("Cover the cut with a clean cloth. Tell a grown-up.", "child", "en")
    True
    >>> fits_reader("Cover the cut with a clean cloth. Tell a grown-up.", "older_adult", "en")
    False
"""

import re
from dataclasses import dataclass

from discreet.readers.readability import in_band
from discreet.readers.reader import Reader
from discreet.types import Language

_SENTENCE = re.compile(r"[.!?]+(?=\s|$)")
_STEP = re.compile(r"(?:^|(?<=[.!?:]\s)|(?<=\n))(\d{1,2})[.)]\s(?=\S)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What an answer for one reader looks like; bounds are included."""

    words: tuple[int, int]
    sentence_words: tuple[float, float]
    """Mean words of a sentence, or of a step."""
    steps: tuple[int, int]
    """Numbered from 1, without a gap."""


FORMS: dict[Language, dict[Reader, Form]] = {
    "en": {
        "child": Form(words=(8, 60), sentence_words=(2, 10), steps=(0, 0)),
        "young_adult": Form(words=(8, 60), sentence_words=(5, 21), steps=(0, 0)),
        "middle_aged": Form(words=(16, 75), sentence_words=(9, 32), steps=(0, 0)),
        "older_adult": Form(words=(14, 75), sentence_words=(3, 11), steps=(3, 7)),
        "distressed": Form(words=(14, 60), sentence_words=(3, 10), steps=(0, 0)),
    },
    "fr": {
        "child": Form(words=(8, 70), sentence_words=(2, 12), steps=(0, 0)),
        "young_adult": Form(words=(8, 80), sentence_words=(5, 28), steps=(0, 0)),
        "middle_aged": Form(words=(16, 95), sentence_words=(9, 36), steps=(0, 0)),
        "older_adult": Form(words=(14, 90), sentence_words=(3, 13), steps=(3, 7)),
        "distressed": Form(words=(14, 75), sentence_words=(3, 12), steps=(0, 0)),
    },
}


def count_steps(text: str) -> int:
    """Return how many steps a text numbers, from 1 and without a gap."""
    steps = 0
    for found in _STEP.finditer(text):
        steps += int(found[1]) == steps + 1
    return steps


def sentence_words(text: str) -> float:
    """Return the mean words of a text's sentences; the numbers of steps are no words."""
    plain = _STEP.sub("", text)
    return len(plain.split()) / max(1, len(_SENTENCE.findall(plain)))


def fits_reader(text: str, reader: Reader, language: Language) -> bool:
    """Return whether an answer has the form that suits a reader, and is as easy as it should be."""
    form = FORMS[language][reader]
    measured = (
        (len(_STEP.sub("", text).split()), form.words),
        (sentence_words(text), form.sentence_words),
        (count_steps(text), form.steps),
    )
    return all(low <= value <= high for value, (low, high) in measured) and in_band(
        text, reader, language
    )
