"""Find the vetted note that fits a question, locally: Okapi BM25, and a check that it fits.

BM25 ranks notes but its scores have no scale. Whether the best note fits is decided by coverage:
the share of the question's words, weighted by how rare they are among the notes, that the note
holds. A word that no note knows weighs most, so that a question about something else finds none.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import bm25s
import Stemmer

from discreet.types import KeyFact, Language

MIN_COVERAGE = 0.42
"""Share of the question's weight that a note must cover; chosen so that no question of another
subject in tests/assistant/test_notes.py finds a note and every shipped question does."""
_STEMMER = Stemmer.Stemmer("english")


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Facts that the assistant's owner vouches for."""

    id: str
    question: str
    """A question that the note answers; found together with the text."""
    text: str
    context: str
    """Policy context in which it is used."""
    safety: str = ""
    """A sentence that every answer ends with; empty if none is due."""
    forbidden: tuple[str, ...] = ()
    """Regular expressions of what no answer may say."""
    facts: tuple[KeyFact, ...] = ()
    """What every answer says; the note adds it where the responder did not."""
    language: Language = "en"
    """Of all its texts."""


@dataclass(frozen=True, slots=True)
class Notes:
    """A searchable set of notes."""

    notes: Sequence[Note]
    _index: Any = field(repr=False)
    _words: Sequence[frozenset[str]] = field(repr=False)
    _weights: dict[str, float] = field(repr=False)

    @property
    def language(self) -> Language:
        """Return the language of the first note: what is said where no note fits."""
        return self.notes[0].language

    @classmethod
    def build(cls, notes: Sequence[Note]) -> "Notes":
        """Return an index over questions and texts; at least one note is needed."""
        if not notes:
            raise ValueError("Expected at least one vetted note, got none.")
        texts = [_words(f"{n.question} {n.question} {n.text}") for n in notes]
        index = bm25s.BM25()
        index.index(texts, show_progress=False)
        counts = Counter(word for words in texts for word in set(words))
        weights = {word: _rarity(len(notes), count) for word, count in counts.items()}
        return cls(notes, index, [frozenset(words) for words in texts], weights)

    def find(self, question: str) -> Note | None:
        """Return the best note, or None if none fits well enough."""
        asked = _words(question)
        if not any(word in self._weights for word in asked):
            return None
        found = self._index.retrieve([asked], k=1, show_progress=False)
        best = int(found.documents[0, 0])
        return self.notes[best] if self._coverage(asked, best) >= MIN_COVERAGE else None

    def _coverage(self, asked: Sequence[str], note: int) -> float:
        """Return the weight of the question's words that a note holds, over all their weight."""
        unknown = _rarity(len(self.notes), 0)
        weight = {word: self._weights.get(word, unknown) for word in asked}
        held = sum(value for word, value in weight.items() if word in self._words[note])
        return held / sum(weight.values())


def _rarity(notes: int, holding: int) -> float:
    """Return the inverse document frequency of a word, as BM25 has it."""
    return math.log(1 + (notes - holding + 0.5) / (holding + 0.5))


def _words(text: str) -> list[str]:
    """Return the stems of a text's words, without those that carry no subject."""
    tokens = bm25s.tokenize(
        [text], stopwords="en", stemmer=_STEMMER, return_ids=False, show_progress=False
    )
    words: list[str] = tokens[0]
    return words
