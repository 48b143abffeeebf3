"""Rank texts by how well they fit a question: by the words they share, or by two ways together.

By words, Okapi BM25 ranks, but its scores have no scale. How well a text fits is said by coverage:
the share of the question's words, weighted by how rare they are among the texts, that the text
holds. A word that no text knows weighs most, so that a question about something else fits none.
Words that carry no subject ("what should I do about") are left out, by lists of the language.
Nothing here decides whether a fit is enough.

    >>> words = Words.build([("What is a fever?", "A temperature of 38 degrees or more.")] * 2)
    >>> words.rank("is 38 degrees a fever")[0].fit
    1.0
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bm25s
import Stemmer
from bm25s.stopwords import STOPWORDS_EN_PLUS, STOPWORDS_FRENCH

from discreet.types import Language

_STEMMERS: dict[Language, str] = {"en": "english", "fr": "french"}
_ASKING = (
    "comment pourquoi quand quel quelle quels quelles faire fais fait faut peut peux puis doit "
    "dois ce est combien où cela ça plus si"
)
_STOP_WORDS: dict[Language, list[str]] = {
    "en": list(STOPWORDS_EN_PLUS),
    "fr": [*STOPWORDS_FRENCH, *_ASKING.split()],
}
"""Lists of bm25s; its French one has no question words."""
_TOKEN = r"(?u)\b\w+\b"
"""Single digits and letters too: "12 x 7"."""
RANK_CONSTANT = 60
"""Of reciprocal rank fusion, as its authors have it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A text that was found."""

    place: int
    """In the list that was searched."""
    fit: float
    """How well it fits, at most 1; comparable between questions, not between ways of finding."""


class Finds(Protocol):
    """A way of finding."""

    def rank(self, question: str) -> list[Found]:
        """Return texts that have to do with a question, best first; none if it says nothing."""


@dataclass(frozen=True, slots=True)
class Words:
    """Finds texts that share words with a question."""

    _index: Any = field(repr=False)
    _words: Sequence[frozenset[str]] = field(repr=False)
    _weights: dict[str, float] = field(repr=False)
    _language: Language = "en"

    @classmethod
    def build(cls, pairs: Sequence[tuple[str, str]], language: Language = "en") -> "Words":
        """Return an index over pairs of a question and its text; a question counts twice."""
        texts = _words([f"{asked} {asked} {text}" for asked, text in pairs], language)
        index = bm25s.BM25()
        index.index(texts, show_progress=False)
        counts = Counter(word for words in texts for word in set(words))
        weights = {word: _rarity(len(pairs), count) for word, count in counts.items()}
        return cls(index, [frozenset(words) for words in texts], weights, language)

    def rank(self, question: str) -> list[Found]:
        """Return texts that share a word, by BM25; the fit is coverage."""
        (asked,) = _words([question], self._language)
        known = [word for word in asked if word in self._weights]
        if not known:
            return []
        scores = self._index.get_scores(known)
        sharing = [place for place in range(len(scores)) if scores[place] > 0]
        sharing.sort(key=lambda place: -scores[place])
        return [Found(place, self._coverage(asked, place)) for place in sharing]

    def _coverage(self, asked: Sequence[str], place: int) -> float:
        """Return the weight of the question's words that a text holds, over all their weight."""
        unknown = _rarity(len(self._words), 0)
        weight = {word: self._weights.get(word, unknown) for word in asked}
        held = sum(value for word, value in weight.items() if word in self._words[place])
        return held / sum(weight.values())


@dataclass(frozen=True, slots=True)
class Fused:
    """Finds by two ways together; a text that one of them does not find counts as its last."""

    first: Finds
    second: Finds
    count: int
    """How many texts there are."""

    def rank(self, question: str) -> list[Found]:
        """Return texts by reciprocal rank fusion; the fit is the mean of both fits.

        Source: Cormack, Clarke, Büttcher 2009, *Reciprocal Rank Fusion Outperforms Condorcet and
        Individual Rank Learning Methods*, section 2.
        """
        scores: Counter[int] = Counter()
        fits: Counter[int] = Counter()
        for way in (self.first, self.second):
            found = way.rank(question)
            ranks = {one.place: rank for rank, one in enumerate(found, 1)}
            for place in range(self.count) if found else ():
                scores[place] += 1 / (RANK_CONSTANT + ranks.get(place, self.count))  # type: ignore[assignment]
            for one in found:
                fits[one.place] += one.fit / 2  # type: ignore[assignment]
        return [Found(place, fits[place]) for place, _ in scores.most_common()]


def _rarity(texts: int, holding: int) -> float:
    """Return the inverse document frequency of a word, as BM25 has it."""
    return math.log(1 + (texts - holding + 0.5) / (holding + 0.5))


def _words(texts: Sequence[str], language: Language) -> list[list[str]]:
    """Return the stems of each text's words, without those that carry no subject."""
    words: list[list[str]] = bm25s.tokenize(
        list(texts),
        stopwords=_STOP_WORDS[language],
        stemmer=Stemmer.Stemmer(_STEMMERS[language]),
        token_pattern=_TOKEN,
        return_ids=False,
        show_progress=False,
    )
    return words
