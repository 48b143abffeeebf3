"""What does not fit into a base's context: what is cut, and what is refused.

The rule: of the note, whole sentences are left out from its end, and the caller is told how many.
The question, the person and the picture are never cut; a question above a limit is refused.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from discreet.model.base import Vlm
from discreet.model.dialogue import TooManyTokens
from discreet.model.losses import base_of
from discreet.model.prompt import build_prompt, encode_prompt

MAX_QUESTION_TOKENS = 1024
"""A longer question is refused: no vetted note answers one."""
MAX_QUESTION_CHARACTERS = 64 * MAX_QUESTION_TOKENS
"""More are not even counted in tokens, which takes a minute where there are ten million."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedNote:
    """As much of a note as fits."""

    text: str = field(repr=False)
    sentences_cut: int
    """Left out at its end."""


def context_tokens(vlm: Vlm) -> int:
    """Return how many tokens a prompt and its answer may have together."""
    return int(base_of(vlm).config.text_config.max_position_embeddings)


def check_length(vlm: Vlm, tokens: int, max_new_tokens: int) -> None:
    """Refuse a prompt that leaves no room for its answer.

    Raises:
        TooManyTokens: if it does.
    """
    if tokens + max_new_tokens > context_tokens(vlm):
        raise TooManyTokens(
            f"Expected a prompt and an answer of at most {context_tokens(vlm)} tokens together, "
            f"got {tokens} and {max_new_tokens}. Shorten the text, or use fit_note()."
        )


def check_question(vlm: Vlm, question: str) -> None:
    """Refuse a question that is too long for any answer.

    Raises:
        TooManyTokens: if it has more than `MAX_QUESTION_TOKENS`, or more than
            `MAX_QUESTION_CHARACTERS`.
    """
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise TooManyTokens(
            f"Expected a question of at most {MAX_QUESTION_CHARACTERS} characters, got "
            f"{len(question)}. Ask in fewer words."
        )
    tokens = len(vlm.tokenizer(question, add_special_tokens=False, verbose=False)["input_ids"])
    if tokens > MAX_QUESTION_TOKENS:
        raise TooManyTokens(
            f"Expected a question of at most {MAX_QUESTION_TOKENS} tokens, got {tokens}. Ask in "
            "fewer words."
        )


def fit_note(
    vlm: Vlm, question: str, *, note: str, persons: Sequence[str], max_new_tokens: int
) -> FittedNote:
    """Return as many whole sentences of a note, from its start, as fit into the context.

    Args:
        vlm: Whose context and tokenizer.
        question: What is asked.
        note: The facts.
        persons: Every `person` that prompts with this note are built for.
        max_new_tokens: Room that the answer needs.

    Raises:
        TooManyTokens: if the question is too long, or not one sentence fits.
    """
    check_question(vlm, question)
    sentences = _SENTENCE.split(note.strip())
    room = context_tokens(vlm) - max_new_tokens

    def length(count: int) -> int:
        kept = " ".join(sentences[:count])
        prompts = (build_prompt(question, note=kept, person=person) for person in persons)
        return max(len(encode_prompt(vlm, prompt)) for prompt in prompts)

    if length(len(sentences)) <= room:
        return FittedNote(text=note, sentences_cut=0)
    count = bisect_right(range(1, len(sentences) + 1), room, key=length)
    if not count:
        raise TooManyTokens(
            f"Expected a context with room for the question, one sentence of the note and "
            f"{max_new_tokens} tokens of an answer, got one of {context_tokens(vlm)} tokens. Ask "
            "in fewer words, or for a shorter answer."
        )
    return FittedNote(text=" ".join(sentences[:count]), sentences_cut=len(sentences) - count)
