"""How hard a text is to read, by a formula of its language, and what is right for whom.

English: the grade of Flesch and Kincaid (Kincaid et al. 1975), US school years; lower is easier.
French: the ease of Kandel and Moles (1958), Flesch's formula fitted to French; higher is easier.
Formulas measure form alone: whether a text says what it should is the business of key facts.

    >>> in_band("Drink water. It helps.", "child", "en"), round(reading_grade("Drink water."), 1)
    (True, 2.9)
"""

import warnings
from typing import Any

from discreet.readers.reader import Reader
from discreet.types import Language

READING_BANDS: dict[Language, dict[Reader, tuple[float, float]]] = {
    "en": {
        "child": (-9, 5),
        "young_adult": (-9, 9),
        "middle_aged": (0, 9),
        "older_adult": (-9, 6),
        "distressed": (-9, 5),
    },
    "fr": {
        "child": (80, 200),
        "young_adult": (50, 200),
        "middle_aged": (45, 125),
        "older_adult": (70, 200),
        "distressed": (75, 200),
    },
}
"""From and to, both included: grades in English, ease in French. A patient's text should be at
grade 6 to 8 at most (docs/design.md); a child's at that of a reader of ten."""


def reading_grade(text: str) -> float:
    """Return the Flesch-Kincaid grade of an English text: US school years needed to read it."""
    return float(_textstat("en").flesch_kincaid_grade(text))


def reading_ease(text: str) -> float:
    """Return the Kandel-Moles ease of a French text, about 0 (hard) to 120 (easy)."""
    return float(_textstat("fr").flesch_reading_ease(text))


def smog_grade(text: str) -> float:
    """Return the SMOG grade of an English text (McLaughlin 1969), which needs 30 sentences."""
    return float(_textstat("en").smog_index(text))


def in_band(text: str, reader: Reader, language: Language) -> bool:
    """Return whether a text is as easy as it should be for a reader, and no easier."""
    low, high = READING_BANDS[language][reader]
    return low <= (reading_grade(text) if language == "en" else reading_ease(text)) <= high


def _textstat(language: Language) -> Any:
    """Return the library, set to a language: it keeps one for all callers."""
    with warnings.catch_warnings():
        # textstat 0.7.4 reads its word list through pkg_resources, which announces its own end.
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        import textstat
    textstat.set_lang(language)
    return textstat
