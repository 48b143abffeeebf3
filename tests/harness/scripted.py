"""Answers that score neither 0 nor 1: all of the note, half of it, or nothing, by the picture."""

import hashlib
from collections.abc import Sequence

from discreet.harness import Asked


def scripted(asked: Sequence[Asked]) -> list[str]:
    """Return an answer to each text, the same wherever the same text and picture are asked."""
    return [_answer(one) for one in asked]


def _answer(asked: Asked) -> str:
    note = asked.text.partition("Note: ")[2].partition("\nThe person")[0]
    words = note.split()
    chosen = hashlib.sha256(b"".join(image.tobytes() for image in asked.images)).digest()[0] % 3
    return " ".join(words[: (0, len(words) // 2, len(words))[chosen]])
