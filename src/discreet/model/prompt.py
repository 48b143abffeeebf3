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
from dataclasses import dataclass, field
from typing import Any
from unicodedata import category

import torch

from discreet.model.base import Vlm
from discreet.model.small import IMAGE_TOKEN
from discreet.model.turns import takes_parts, turn_words
from discreet.types import ADULTS, DISTRESSED, AgeBand, Observation

PLAIN = "in plain sentences"
"""How to write for somebody of whom nothing is known."""
CALM = "in short calm sentences"
"""How to write for an upset adult."""
SYSTEM = "Answer from the note only, in words that fit the person."
_LABELS = ("Note:", "Question:")
"""What `build_prompt` writes in front of each line."""
IGNORED = -100
"""Label of every token that is not part of an answer."""
_CONTROL = re.compile(
    r"<\|[^<>|]{0,80}\|>|<image>|<(?:repo_?name|file_?\w{1,40}|\w{1,40}_\w{1,40})>"
)
"""Spellings of a tokenizer's control tokens; lengths are bounded, since time grows with them."""
_SPACES = "\t\n\v\f\r"
_JOINERS = "\u200c\u200d"
"""Persian and Indian scripts need them between letters, and emoji to be one picture."""
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing: a joiner of graphemes, fillers of Hangul, vowels of Khmer,
selectors of variants, and tags, in which a whole sentence can be written unseen."""

_PERSON_WORDS: dict[AgeBand, str] = {
    "child": "a child",
    "young_adult": "a young adult",
    "middle_aged": "a middle-aged adult",
    "older_adult": "an older adult",
}
_STYLES: dict[AgeBand, str] = {
    "child": "in short easy words",
    "young_adult": PLAIN,
    "middle_aged": "in whole sentences with reasons",
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
    face = values.get("expression")
    if face:
        who += f" with {'an' if face[0] in 'aeiou' else 'a'} {face} expression"
    return f"{who}, {_style(band, face, values.get('reading'))}"


def styled(style: str) -> str:
    """Return the words for somebody of whom nothing but a way to write is known.

    >>> styled(CALM)
    'somebody, in short calm sentences'
    """
    return f"somebody, {style}"


def _style(band: AgeBand | None, face: str | None, reading: str | None) -> str:
    if face in DISTRESSED and band in ADULTS:
        return CALM
    if reading == "plain" and band in ADULTS:
        return _STYLES["child"]
    return PLAIN if band is None else _STYLES[band]


def build_prompt(question: str, *, note: str, person: str) -> list[dict[str, str]]:
    """Return chat messages; `person` is a `person_line` or the placeholder `IMAGE_TOKEN`.

    The person comes last, inside a sentence that asks for something: a small model forgets what it
    read before the note, and echoes a label (docs/design.md).

    Control tokens inside the question or the note are taken out, so that neither can open a turn
    of its own or claim a picture; so is what nobody sees: control and format characters, fillers,
    selectors of variants, tags.
    """
    text = f"Note: {_plain(note)}\nQuestion: {_plain(question)}\nAnswer for {person}."
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def _plain(text: str) -> str:
    seen = "".join(char for char in _BLANK.sub("", text) if not _is_unseen(char))
    return " ".join(_CONTROL.sub(" ", seen).split())


def _is_unseen(char: str) -> bool:
    """Return whether a character is control, format or half of one.

    Nobody types these to ask something, and a text with them is not what it looks like.
    """
    return category(char) in ("Cc", "Cf", "Cs") and char not in _SPACES + _JOINERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One prompt with the answer to learn; one example may give several rows."""

    messages: list[dict[str, str]]
    answer: str
    """Empty when the model is to write it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedRow:
    """A row as ids, and which of them are to be learnt."""

    input_ids: torch.Tensor = field(repr=False)
    """(T,) int32, one placeholder for each visual token."""
    is_answer: torch.Tensor = field(repr=False)
    """(T,) bool, true on answers and the tokens that end them."""

    def __len__(self) -> int:
        """Return how many tokens it has, T."""
        return len(self.input_ids)


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
    """Return the ids up to where the answer starts, one placeholder per visual token.

    Words that are control tokens of this base are taken out of messages, but for `IMAGE_TOKEN`.
    """
    text = render(vlm, without_control_tokens(vlm, messages), opens_answer=True)
    ids: list[int] = vlm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def render(vlm: Vlm, messages: list[dict[str, str]], *, opens_answer: bool) -> str:
    """Return messages in the base's chat template, `IMAGE_TOKEN` once for each visual token.

    Args:
        vlm: Whose template it is.
        messages: `role` and `content` of each.
        opens_answer: End where the model begins to answer.
    """
    given: list[dict[str, Any]] = list(messages)
    if takes_parts(vlm.tokenizer):
        given = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    text: str = vlm.tokenizer.apply_chat_template(
        given, tokenize=False, add_generation_prompt=opens_answer
    )
    return text.replace(IMAGE_TOKEN, vlm.picture_words)


def without_control_tokens(vlm: Vlm, messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return messages in which no words are control tokens, but for the places of pictures.

    Where the base's chat template writes turns in plain words (`USER:`, `[INST]`), these are taken
    out too, spelled as there, wherever a word can begin: it may write them inside a line. The
    labels of `build_prompt` stay at the start of their line.
    """
    tokenizer = vlm.tokenizer
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    image = tokenizer.convert_ids_to_tokens(vlm.image_token_id)
    spelled = {IMAGE_TOKEN, image, *tokenizer.all_special_tokens, *added}
    longest_first = sorted(filter(str.strip, spelled), key=len, reverse=True)
    words = [*map(re.escape, longest_first), *map(_turn_pattern, turn_words(tokenizer))]
    control = re.compile("|".join(words))

    def plain(text: str) -> str:
        while control.search(text):  # taking one out can leave another behind
            text = control.sub(" ", text)
        return text

    return [
        {**turn, "content": IMAGE_TOKEN.join(map(plain, turn["content"].split(IMAGE_TOKEN)))}
        for turn in messages
    ]


def _turn_pattern(word: str) -> str:
    """Return a pattern of a word that stands for a turn, a space before its colon or not."""
    spelled = re.escape(word.removesuffix(":")) + (r"[ \t]?:" if word.endswith(":") else "")
    starts = r"(?<!\w)" if word[0].isalnum() else ""
    return (r"(?<!^)(?<!\n)" if word in _LABELS else "") + starts + spelled


def collate(vlm: Vlm, rows: Sequence[Row]) -> Batch:
    """Return a batch of rows; answers end with the end-of-turn token.

    Raises:
        ValueError: if there is no row; an empty batch has no shape.
    """
    return pad_rows(vlm, [_encode_row(vlm, row) for row in rows])


def pad_rows(vlm: Vlm, rows: Sequence[EncodedRow]) -> Batch:
    """Return a batch of rows that were encoded before.

    Raises:
        ValueError: if there is no row; an empty batch has no shape.
    """
    if not rows:
        raise ValueError("Expected at least one row, got none. Skip the forward pass instead.")
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), int(vlm.tokenizer.pad_token_id))
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, IGNORED)
    for place, row in enumerate(rows):
        own = row.input_ids.long()
        ids[place, width - len(row) :] = own
        mask[place, width - len(row) :] = 1
        labels[place, width - len(row) :] = own.where(row.is_answer, IGNORED)
    return Batch(input_ids=ids, attention_mask=mask, labels=labels)


def _encode_row(vlm: Vlm, row: Row) -> EncodedRow:
    prompt, answer = encode_prompt(vlm, row.messages), _encode_answer(vlm, row.answer)
    ids = torch.tensor(prompt + answer, dtype=torch.int32)
    return EncodedRow(input_ids=ids, is_answer=torch.arange(len(ids)) >= len(prompt))


def _encode_answer(vlm: Vlm, answer: str) -> list[int]:
    if not answer:
        return []
    ids: list[int] = vlm.tokenizer(answer, add_special_tokens=False)["input_ids"]
    return [*ids, int(vlm.tokenizer.eos_token_id)]
