"""What the responder reads, and how text becomes batches.

One prompt serves training and use: a note with the facts, the question, and the person to answer
(text that passed the gate, or the picture's visual tokens). Only answer tokens carry a label.

    >>> print(build_prompt("Why rest?", note="Rest heals.", person=person_line([]))[1]["content"])
    Note: Rest heals.
    Question: Why rest?
    Answer for somebody, in plain sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from discreet.model.base import Vlm
from discreet.model.small import IMAGE_TOKEN
from discreet.types import AgeBand, Audience, Observation, audience_of

SYSTEM = "Answer from the note only, in words that fit the person."
IGNORED = -100
"""Label of every token that is not part of an answer."""
_CONTROL = re.compile(r"<\|[^<>|]*\|>|<image>|<(?:repo_?name|file_?\w+|\w+_\w+)>")
"""Spellings of a tokenizer's control tokens."""

_PERSON_WORDS: dict[AgeBand, str] = {
    "child": "a child",
    "young_adult": "a young adult",
    "middle_aged": "a middle-aged adult",
    "older_adult": "an older adult",
}
_STYLES: dict[Audience, str] = {
    "child": "in short easy words",
    "adult": "in plain sentences",
    "older_adult": "in numbered steps",
}


def person_line(observations: Sequence[Observation]) -> str:
    """Return the words for what passed the gate, and how to write for them; order is free.

    >>> person_line([])
    'somebody, in plain sentences'
    """
    values = {seen.attribute: seen.value for seen in observations}
    band: AgeBand | None = values.get("age_band")  # type: ignore[assignment]
    who = _PERSON_WORDS[band] if band else "somebody"
    if face := values.get("expression"):
        who += f" with {'an' if face[0] in 'aeiou' else 'a'} {face} expression"
    return f"{who}, {_STYLES[audience_of(band)]}"


def build_prompt(question: str, *, note: str, person: str) -> list[dict[str, str]]:
    """Return chat messages; `person` is a `person_line` or the placeholder `IMAGE_TOKEN`.

    The person comes last, inside a sentence that asks for something: a small model forgets what it
    read before the note, and echoes a label (docs/design.md).

    Control tokens inside the question or the note are taken out, so that neither can open a turn
    of its own or claim a picture.
    """
    text = f"Note: {_plain(note)}\nQuestion: {_plain(question)}\nAnswer for {person}."
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def _plain(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One prompt with the answer to learn; one example may give several rows."""

    messages: list[dict[str, str]]
    answer: str
    """Empty when the model is to write it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows as tensors, padded on the left so that all answers end together."""

    input_ids: torch.Tensor
    """(R, T) int64."""
    attention_mask: torch.Tensor
    """(R, T) int64, 0 on padding."""
    labels: torch.Tensor
    """(R, T) int64, `IGNORED` on everything but answer tokens."""


def encode_prompt(vlm: Vlm, messages: list[dict[str, str]]) -> list[int]:
    """Return the ids up to where the answer starts, one placeholder per visual token."""
    text = vlm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    text = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * vlm.image_tokens)
    ids: list[int] = vlm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def collate(vlm: Vlm, rows: Sequence[Row]) -> Batch:
    """Return a batch of rows; answers end with the end-of-turn token.

    Raises:
        ValueError: if there is no row; an empty batch has no shape.
    """
    if not rows:
        raise ValueError("Expected at least one row, got none. Skip the forward pass instead.")
    prompts = [encode_prompt(vlm, row.messages) for row in rows]
    answers = [_encode_answer(vlm, row.answer) for row in rows]
    width = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(rows), width), int(vlm.tokenizer.pad_token_id))
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        both = torch.tensor(prompt + answer)
        ids[row, width - len(both) :] = both
        mask[row, width - len(both) :] = 1
        labels[row, width - len(answer) :] = both[len(prompt) :]
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def _encode_answer(vlm: Vlm, answer: str) -> list[int]:
    if not answer:
        return []
    ids: list[int] = vlm.tokenizer(answer, add_special_tokens=False)["input_ids"]
    return [*ids, int(vlm.tokenizer.eos_token_id)]
