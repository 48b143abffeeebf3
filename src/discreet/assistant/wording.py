"""Does a sentence keep to a note? Two checks by its words, for English; nothing is understood.

*Words*: a sentence is not borne out if it brings at least two words of its own and most of the
words that make it special are new. *Polarity*: it is turned round if a word that it shares with a
sentence of the note is negated on one side only. Negation reaches from its word to the end of the
clause. How many right and wrong sentences each stops: `tests/assistant/test_wording.py`.

    >>> wording = Wording.of("Do not squeeze pimples. Wash your face.", "What helps with pimples?")
    >>> [wording.objection(s) for s in ("Never squeeze pimples.", "You can squeeze the pimples.")]
    [None, 'turned round']
    >>> wording.objection("Toothpaste burns bacteria overnight.")
    'not in the note'
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import Stemmer
from bm25s.stopwords import STOPWORDS_EN

Objection = Literal["not in the note", "turned round"]
"""Why a sentence is not shown."""

FORM_WORDS_FILE = Path(__file__).parent / "form_words.en.toml"
MIN_QUESTIONS = 4
"""Questions whose answers have to use a word of their own accord before it counts as form."""
MIN_NEW_WORDS = 2
MAX_NEW_SHARE = 2 / 3
"""Of the words that are neither stop nor form words."""
MIN_SAID = 2
"""Words that a sentence has to have before it can be turned round."""
MIN_SHARED = 0.5
"""Share of a sentence's words that a sentence of the note must hold to be compared with it."""

SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)?")
_TOKEN = re.compile(r"[^\W\d_]{2,}(?:['’][^\W\d_]+)?|\d+|[.,;:!?]")
_REPLY = re.compile(r"^\s*(?:\d+[.)]\s*)?(?:no|yes|not always|not quite|if not)[,.;:]\s*", re.I)
_ENDS_CLAUSE = {
    *("but", "because", "so", "if", "when", "while", "until", "unless", "since", "which", "who"),
    *("after", "before", "than", ".", ",", ";", ":", "!", "?"),
}
_NEGATIONS = {
    *("not", "never", "no", "nor", "none", "neither", "cannot", "without", "nothing", "nobody"),
}
_NOT_NEGATED = {
    *("do", "does", "did", "can", "always", "ever", "any", "one", "i", "me", "my", "we", "us"),
    *("our", "you", "your", "he", "him", "his", "she", "her", "its", "them", "those"),
}
"""Words of which it says nothing that they stand behind a negation."""
_STOP = frozenset(STOPWORDS_EN)
_STEMMER = Stemmer.Stemmer("english")

Polarity = dict[str, frozenset[bool]]
"""Stems of a text, and whether each is negated there; both if it is found both ways."""


def stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words of two letters or more, without stop words."""
    words = (word.lower().replace("’", "'") for word in _WORD.findall(text))
    return frozenset(_STEMMER.stemWord(word) for word in words if word not in _STOP)


def polarity(text: str) -> Polarity:
    """Return which stems of a text are negated; an answering "No," negates nothing.

    >>> sorted((stem, *found) for stem, found in polarity("Do not rub it, but rinse.").items())
    [('rins', False), ('rub', True)]
    """
    found: dict[str, frozenset[bool]] = {}
    is_negated = False
    for word in _TOKEN.findall(_REPLY.sub("", text).lower().replace("’", "'")):
        if word in _ENDS_CLAUSE:
            is_negated = False
        elif word in _NEGATIONS or word.endswith("n't") or word.startswith("avoid"):
            is_negated = True
        elif word not in _STOP and word not in _NOT_NEGATED:
            stem = _STEMMER.stemWord(word)
            found[stem] = found.get(stem, frozenset()) | {is_negated}
    return found


def common_words(answers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return stems of form: those that answers to several questions use of their own accord.

    Args:
        answers: For each text of a note with its question, the answers written from it.

    Returns:
        Stems that answers to `MIN_QUESTIONS` texts or more have and the texts have not, sorted.
    """
    uses = Counter(
        stem
        for known, written in answers.items()
        for stem in frozenset[str]().union(*map(stems, written)) - stems(known)
    )
    return sorted(stem for stem, count in uses.items() if count >= MIN_QUESTIONS)


@cache
def form_words() -> frozenset[str]:
    """Return the stems of form that ship: `common_words` of the public and private answers."""
    return frozenset(tomllib.loads(FORM_WORDS_FILE.read_text(encoding="utf-8"))["words"])


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a note and its question, to hold sentences against."""

    known: frozenset[str] = field(repr=False)
    sentences: tuple[Polarity, ...] = field(repr=False)

    @classmethod
    def of(cls, vetted: str, question: str) -> "Wording":
        """Return the words of a vetted text and of a question about it."""
        return cls(
            stems(f"{vetted} {question}") | form_words(),
            tuple(polarity(sentence) for sentence in SENTENCE.split(vetted)),
        )

    def objection(self, sentence: str) -> Objection | None:
        """Return why a sentence may not stand for the note, or None if nothing is found."""
        if self._is_new(sentence):
            return "not in the note"
        return "turned round" if self._is_turned_round(polarity(sentence)) else None

    def _is_new(self, sentence: str) -> bool:
        words = stems(sentence) - form_words()
        new = words - self.known
        return len(new) >= MIN_NEW_WORDS and len(new) > MAX_NEW_SHARE * len(words)

    def _is_turned_round(self, said: Polarity) -> bool:
        """Return whether a word is negated here and nowhere in the note, or the other way."""
        shared = max((said.keys() & own.keys() for own in self.sentences), key=len)
        if len(said) < MIN_SAID or len(shared) < MIN_SHARED * len(said):
            return False
        return any(not said[stem] & self._polarity_of(stem) for stem in shared)

    def _polarity_of(self, stem: str) -> frozenset[bool]:
        return frozenset[bool]().union(*(own.get(stem, frozenset()) for own in self.sentences))
