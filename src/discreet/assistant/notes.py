"""Find the vetted note that fits a question, locally (Okapi BM25)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import bm25s

MIN_SCORE = 1.0
"""BM25 score below which no note is taken to fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Facts that the assistant's owner vouches for."""

    id: str
    question: str
    """A question that the note answers; found together with the text."""
    text: str
    context: str
    """Policy context in which it is used."""


@dataclass(frozen=True, slots=True)
class Notes:
    """A searchable set of notes."""

    notes: Sequence[Note]
    _index: bm25s.BM25 = field(repr=False)

    @classmethod
    def build(cls, notes: Sequence[Note]) -> "Notes":
        """Return an index over questions and texts; at least one note is needed."""
        if not notes:
            raise ValueError("Expected at least one vetted note, got none.")
        index = bm25s.BM25()
        index.index(
            _tokens([f"{n.question} {n.question} {n.text}" for n in notes]), show_progress=False
        )
        return cls(notes, index)

    def find(self, question: str) -> Note | None:
        """Return the best note, or None if none fits well enough."""
        words = _tokens([question])
        if not words.vocab:
            return None
        found = self._index.retrieve(words, k=1, show_progress=False)
        if float(found.scores[0, 0]) < MIN_SCORE:
            return None
        return self.notes[int(found.documents[0, 0])]


def _tokens(texts: list[str]) -> "bm25s.tokenization.Tokenized":
    return bm25s.tokenize(texts, stopwords="en", show_progress=False)
