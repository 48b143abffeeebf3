"""Find texts that mean what a question means, by directions of a sentence encoder.

English only in its training; French finds less. It needs the weights of
`discreet.model.load_sentence_encoder`. It does not decide whether a fit is enough. Vectors of the
texts that are searched may be kept on disk, so that they are made once and not at every start.

    >>> from discreet.model import load_sentence_encoder
    >>> meaning = Meaning.build([("How do I stop a nosebleed?", "Lean forward.")],
    ...                         load_sentence_encoder())  # doctest: +SKIP
    >>> meaning.rank("blood drips from my nose")[0].place  # doctest: +SKIP
    0

Guarantee: no question is kept, nor its vector; what is kept holds vectors and no words.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from discreet.artifacts import write_bytes
from discreet.assistant.search import Found

LENGTH_ERROR = 1e-4
"""How far from one the length of a kept vector may be; rounding in float32 stays below 1e-6."""


class Encodes(Protocol):
    """What turns texts into (N, D) float32 vectors of length one."""

    @property
    def identity(self) -> str:
        """Return a text that differs wherever the vector of a text may."""

    @property
    def size(self) -> int:
        """Return D."""

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Return a vector for each text, (N, D), in order."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Finds texts whose direction is near the question's."""

    _encoder: Encodes = field(repr=False)
    _vectors: Any = field(repr=False)
    """(N, D) float32, each of length at most one."""

    @classmethod
    def build(
        cls, pairs: Sequence[tuple[str, str]], encoder: Encodes, *, keep_in: Path | None = None
    ) -> "Meaning":
        """Return an index over pairs of a question and its text.

        A vector is the mean of that of the question and that of both together; the cosine with it
        is then the mean of two. The question alone finds the right one less often first.

        Args:
            pairs: What is searched.
            encoder: What makes vectors of it, and later of questions.
            keep_in: Folder where vectors of `pairs` are kept; None keeps none.
        """
        texts = [asked for asked, _ in pairs] + [f"{asked} {text}" for asked, text in pairs]
        vectors = encoder.encode(texts) if keep_in is None else kept(texts, encoder, keep_in)
        return cls(encoder, (vectors[: len(pairs)] + vectors[len(pairs) :]) / 2)

    def rank(self, question: str) -> list[Found]:
        """Return all texts by their cosine with the question, which is the fit."""
        if not any(letter.isalnum() for letter in question):
            return []
        cosines = self._vectors @ self._encoder.encode([question])[0]
        order = cosines.argsort(descending=True, stable=True).tolist()
        return [Found(place, float(cosines[place])) for place in order]


def kept(texts: Sequence[str], encoder: Encodes, folder: Path) -> torch.Tensor:
    """Return the (N, D) vectors of texts, from a file of `folder` where a sound one is there.

    Its name is a hash of the encoder and of every text. A file that is damaged or holds anything
    else is made again; where the folder cannot be written to, nothing is kept.
    """
    path = folder / f"notes-{_name(texts, encoder)}.safetensors"
    vectors = _read(path, (len(texts), encoder.size))
    if vectors is None:
        vectors = encoder.encode(texts).contiguous()
        with suppress(OSError):  # a start that takes longer is no reason not to start
            write_bytes(path, save({"vectors": vectors}))
    return vectors


def _name(texts: Sequence[str], encoder: Encodes) -> str:
    """Return 16 hex digits that differ where a text, their order or the encoder does."""
    digest = hashlib.sha256(encoder.identity.encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode()).digest())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, int]) -> torch.Tensor | None:
    """Return float32 vectors of length one, or None if a file holds anything else."""
    try:
        vectors = load(path.read_bytes())["vectors"]
    except (OSError, KeyError, ValueError, SafetensorError):
        return None
    if vectors.dtype != torch.float32 or vectors.shape != shape:
        return None
    lengths = vectors.norm(dim=1)  # of what is not finite, neither is the length
    return vectors if bool(((lengths - 1).abs() <= LENGTH_ERROR).all()) else None
