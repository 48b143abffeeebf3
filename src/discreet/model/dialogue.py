"""A conversation as one row: every answer in it is learnt, behind all that was said before.

One forward pass gives the loss of all answers, since no place reads a later one. What a base would
be asked in use has to be how the row begins, answer by answer; a chat template that writes it in
another way is not used.

    >>> from discreet.model.base import load
    >>> said = [("user", "Why?"), ("assistant", "So."), ("user", "And?"), ("assistant", "No.")]
    >>> vlm = load("tiny")
    >>> row = encode_dialogue(vlm, [{"role": role, "content": text} for role, text in said])
    >>> vlm.tokenizer.decode(row.input_ids[row.is_answer])
    'So.<|im_end|>No.<|im_end|>'
"""

from collections.abc import Sequence

import torch
from jinja2 import TemplateError

from discreet.model.base import Vlm
from discreet.model.prompt import EncodedRow, render, without_control_tokens

ANSWERS = "assistant"
"""Role of the turns that are learnt."""


class TooManyTokens(ValueError):
    """A conversation is longer than asked for."""


def encode_dialogue(
    vlm: Vlm, messages: Sequence[dict[str, str]], *, max_tokens: int | None = None
) -> EncodedRow | None:
    """Return a conversation as a row in which all answers are to be learnt.

    An answer is what the assistant says after somebody; with it the token that ends it is learnt.
    Words stay as they are, but for control tokens, which are taken out, so that nobody can open a
    turn or claim a picture, and for space around an answer.

    Args:
        vlm: Whose template and tokenizer.
        messages: `role` and `content` of each turn; `IMAGE_TOKEN` stands where a picture is shown,
            which is never in an answer.
        max_tokens: Length that is refused above, before any answer is looked at: what comes before
            each is read anew, which takes long where there are thousands.

    Returns:
        The row; None if there is no answer, or if the base's template cannot hold the conversation
        so that each answer begins where the base would begin it.

    Raises:
        TooManyTokens: if it is longer than `max_tokens`.
    """
    said = _plain(vlm, messages)
    places = [n for n, turn in enumerate(said) if n and turn["role"] == ANSWERS and turn["content"]]
    if not places:
        return None
    try:
        whole = render(vlm, said, opens_answer=False)
    except TemplateError:  # roles in an order that the template refuses
        return None
    (ids,) = vlm.tokenizer([whole], add_special_tokens=False, verbose=False)["input_ids"]
    if max_tokens is not None and len(ids) > max_tokens:
        raise TooManyTokens(f"Expected at most {max_tokens} tokens, got {len(ids)}.")
    try:
        before = [render(vlm, said[:place], opens_answer=True) for place in places]
    except TemplateError:
        return None
    prompts = vlm.tokenizer(before, add_special_tokens=False, verbose=False)["input_ids"]
    is_answer = torch.zeros(len(ids), dtype=torch.bool)
    for place, text, prompt in zip(places, before, prompts, strict=True):
        if not (whole.startswith(text) and ids[: len(prompt)] == prompt):
            return None
        if not _is_ended(whole[len(text) :], said[place]["content"], vlm.tokenizer.eos_token):
            return None
        end = ids.index(vlm.tokenizer.eos_token_id, len(prompt))
        is_answer[len(prompt) : end + 1] = True
    return EncodedRow(input_ids=torch.tensor(ids, dtype=torch.int32), is_answer=is_answer)


def _is_ended(rest: str, answer: str, end: str) -> bool:
    """Return whether the rest of a text is an answer and the token that ends it."""
    rest = rest.lstrip()
    return rest.startswith(answer) and rest[len(answer) :].lstrip().startswith(end)


def _plain(vlm: Vlm, messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return messages without control tokens and, around answers, without space."""
    return [
        {**turn, "content": turn["content"].strip() if turn["role"] == ANSWERS else turn["content"]}
        for turn in without_control_tokens(vlm, messages)
    ]
