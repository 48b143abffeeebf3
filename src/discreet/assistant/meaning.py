"""Find texts that mean what a question means, by directions of a sentence encoder.

English only in its training; French finds less. It needs the optional weights of
`discreet.model.load_sentence_encoder`. It does not decide whether a fit is enough.

    >>> from discreet.model import load_sentence_encoder
    >>> meaning = Meaning.build([("How do I stop a nosebleed?", "Lean forward.")],
    ...                         load_sentence_encoder())  # doctest: +SKIP
    >>> meaning.rank("blood drips from my nose")[0].place  # doctest: +SKIP
    0
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from discreet.assistant.search import Found


class Encodes(Protocol):
    """What turns texts into (N, D) float32 vectors of length one."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return a vector for each text, in order."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Finds texts whose direction is near the question's."""

    _encoder: Encodes = field(repr=False)
    _vectors: Any = field(repr=False)
    """(N, D) float32, each of length at most one."""

    @classmethod
    def build(cls, pairs: Sequence[tuple[str, str]], encoder: Encodes) -> "Meaning":
        """Return an index over pairs of a question and its text.

        A vector is the mean of that of the question and that of both together; the cosine with it
        is then the mean of two. The question alone finds the right one less often first.
        """
        asked = encoder.encode([asked for asked, _ in pairs])
        whole = encoder.encode([f"{asked} {text}" for asked, text in pairs])
        return cls(encoder, (asked + whole) / 2)

    def rank(self, question: str) -> list[Found]:
        """Return all texts by their cosine with the question, which is the fit."""
        if not any(letter.isalnum() for letter in question):
            return []
        cosines = self._vectors @ self._encoder.encode([question])[0]
        order = cosines.argsort(descending=True, stable=True).tolist()
        return [Found(place, float(cosines[place])) for place in order]
