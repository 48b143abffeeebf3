"""What a chat template writes around the turns of a conversation, found by using it.

A template is a program of whoever made the base. It is not read here: it is given turns that all
say one odd word, and what stands between these words is looked at. Special tokens are not its
business (`prompt.without_control_tokens` takes them out); words that stand for a turn are.

    >>> from discreet.model.tiny import build
    >>> turn_words(build().tokenizer)
    ()
"""

import re
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

TEMPLATE_STOPS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TemplateError,
    TypeError,
    ValueError,
)
"""What a chat template raises: it is a program, and Jinja's sandbox hands its errors on."""
_SENTINEL = "Quokka"
_WORD = re.compile(
    r"\[/?[\w ]{1,20}\]|<{1,2}/?[\w ]{1,20}>{1,2}|(?:#{1,4} ?)?\w{1,20}:(?!\S)|(?:#{2,4} ?)\w{1,20}"
)
"""Forms of a turn in plain words: `[INST]`, `<<SYS>>`, `USER:`, `### Human`."""
_AT_THE_END = re.compile(rf"(?:(?:{_WORD.pattern})\s*)+\Z")


def takes_parts(tokenizer: Any) -> bool:
    """Return whether the chat template reads messages as lists of parts only."""
    messages = [{"role": "user", "content": _SENTINEL}]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False)
    return _SENTINEL not in text


def turn_ends(tokenizer: Any) -> int | None:
    """Return the id that the chat template writes behind an answer; None if it is no token."""
    text = _written(tokenizer, ("user", "assistant"), opens_answer=False)
    rest = text.rpartition(_SENTINEL)[2].lstrip()
    special = sorted(tokenizer.get_added_vocab().items(), key=lambda pair: -len(pair[0]))
    return next((number for word, number in special if word and rest.startswith(word)), None)


def turn_words(tokenizer: Any) -> tuple[str, ...]:
    """Return the plain words with which the chat template begins or ends turns, longest first.

    Words in brackets, before a colon and behind `##`, as they are spelled. A word without any of
    these, as `user` in ChatML, stands behind a special token and opens nothing without it.
    """
    found: set[str] = set()
    for before, between in map(_around, _conversations(tokenizer)):
        found.update(_WORD.findall(before), *map(_WORD.findall, between))
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    return tuple(sorted(found - special, key=lambda word: (-len(word), word)))


def _conversations(tokenizer: Any) -> list[str]:
    """Return what the template writes for two turns with a system's, and for three without.

    Special tokens are spaces in it. A conversation that the template refuses is left out.
    """
    special = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len)
    control = re.compile("|".join(map(re.escape, filter(str.strip, reversed(special)))) or r"(?!)")
    found = []
    for roles in (("system", "user"), ("user", "assistant"), ("user", "assistant", "user")):
        try:
            text = _written(tokenizer, roles, opens_answer=roles[-1] == "user")
        except TEMPLATE_STOPS:
            continue
        found.append(control.sub(" ", text))
    return found


def _around(text: str) -> tuple[str, list[str]]:
    """Return what stands right before the first turn of a text, and what between and behind turns.

    A template may begin with sentences of its own (a date, whom the model is): of these only words
    at the end belong to the turn.
    """
    first, *between = text.split(_SENTINEL)
    opened = _AT_THE_END.search(first[-200:])
    return (opened.group() if opened else ""), between


def _written(tokenizer: Any, roles: Sequence[str], *, opens_answer: bool) -> str:
    """Return what the template writes for turns that all say one odd word."""
    said: Any = _SENTINEL
    if takes_parts(tokenizer):
        said = [{"type": "text", "text": _SENTINEL}]
    messages = [{"role": role, "content": said} for role in roles]
    text: str = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=opens_answer
    )
    return text
