"""Conversations of several formats as turns: LLaVA, ShareGPT, messages, question and answer.

`<image>` stands in a text where a picture is shown, once for each.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from discreet.sources.columns import text_of
from discreet.sources.records import Role, Turn

IMAGE = "<image>"
ROLES: dict[str, Role] = {
    "assistant": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "developer": "system",
    "gpt": "assistant",
    "human": "user",
    "model": "assistant",
    "system": "system",
    "user": "user",
}
"""What formats call a side -> what it is called here."""
PICTURE_COLUMNS = ("image", "images", "image_path", "image_file", "file_name")
TEXT_COLUMNS = frozenset(
    {"conversations", "messages", "question", "answer", "prompt", "chosen", "rejected", "text"}
)
Fault = Literal["turns", "turn", "role", "places"]
"""Why a row is no conversation: a kind of problem."""
MAX_INLINE = 2**23
"""Characters of a picture inside a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """The turns of a row, and the pictures that it names."""

    turns: tuple[Turn, ...] = field(repr=False)
    pictures: tuple[str | bytes, ...] = field(repr=False)
    """Paths relative to the set, or bytes that the row holds."""


def is_talk(row: object) -> bool:
    """Return whether the columns of a row are those of a conversation."""
    if not isinstance(row, Mapping):
        return False
    names = set(row)
    return bool(
        isinstance(row.get("conversations"), list)
        or isinstance(row.get("messages"), list)
        or {"question", "answer"} <= names
        or {"prompt", "chosen", "rejected"} <= names
        or ({"text"} <= names and names & set(PICTURE_COLUMNS))
    )


def talk_of(row: Mapping[str, object], *, num_cells: int = 0) -> Talk | Fault:
    """Return the conversation in a row, or why there is none that can be used.

    A conversation has an answer, and as many places for pictures as pictures. Where it has no
    place at all, its pictures are shown before the first question, as LLaVA and User-VLM do.

    Args:
        row: Values by column.
        num_cells: Pictures that the table holds beside the values.
    """
    pictures = [] if num_cells else _named_pictures(row)
    turns = _turns(row, pictures)
    if not isinstance(turns, list):
        return turns
    if not any(turn.role == "assistant" and turn.text for turn in turns):
        return "turns"
    shown = num_cells + len(pictures)
    places = sum(turn.text.count(IMAGE) for turn in turns)
    if not places and shown:
        turns = _with_places(turns, shown)
    elif places != shown:
        return "places"
    return Talk(turns=tuple(turns), pictures=tuple(pictures))


def _turns(row: Mapping[str, object], pictures: list[str | bytes]) -> list[Turn] | Fault:
    for column in ("conversations", "messages"):
        if isinstance(said := row.get(column), list):
            return _listed(said, pictures)
    prompt = row.get("prompt")
    asked: list[Turn] | Fault | None
    if isinstance(prompt, list):  # messages before the two answers
        asked = _listed(prompt, pictures)
    else:
        asked = _said("user", row.get("question", prompt))
    if "text" in row and not {"question", "prompt"} & set(row):
        asked = []
    answer = next((row[name] for name in ("answer", "chosen", "text") if name in row), None)
    answers = _said("assistant", _last(answer))
    rejected = _said("rejected", _last(row["rejected"])) if "rejected" in row else []
    if asked is None or answers is None or rejected is None:
        return "turns"
    return [*asked, *answers, *rejected] if isinstance(asked, list) else asked


def _listed(said: list[object], pictures: list[str | bytes]) -> list[Turn] | Fault:
    turns: list[Turn] = []
    for item in said:
        turn = _turn(item, pictures)
        if not isinstance(turn, Turn):
            return turn
        turns.append(turn)
    return turns


def _last(answer: object) -> object:
    """Return the text of an answer that is given as a list of one message."""
    if isinstance(answer, list) and answer and isinstance(answer[-1], Mapping):
        return answer[-1].get("content")
    return answer


def _said(role: Role, text: object) -> list[Turn] | None:
    if not isinstance(text, str) or text_of(text) is None:
        return None
    return [Turn(role=role, text=text)]


def _turn(item: object, pictures: list[str | bytes]) -> Turn | Fault:
    """Return one turn of a list; pictures that it names itself are added to the others."""
    if not isinstance(item, Mapping):
        return "turn"
    side, content = item.get("from", item.get("role")), item.get("value", item.get("content"))
    role = ROLES.get(side.lower()) if isinstance(side, str) else None
    if role is None:
        return "role"
    if isinstance(content, list):
        content = _joined(content, pictures)
    said = _said(role, content)
    return said[0] if said else "turn"


def _joined(parts: list[object], pictures: list[str | bytes]) -> str | None:
    """Return the text of a message in parts, `<image>` for each picture."""
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, Mapping):
            return None
        text = part.get("text")
        if part.get("type") == "text" and isinstance(text, str):
            texts.append(text)
        elif part.get("type") in ("image", "image_url"):
            texts.append(IMAGE)
            names = (part.get(key) for key in ("image_url", "image", "path", "url"))
            named = next((name for name in names if name is not None), None)
            named = named.get("url") if isinstance(named, Mapping) else named
            if isinstance(named, str):  # else the picture is in a column of its own
                pictures.append(_inline(named) or named)
        else:
            return None
    return "\n".join(texts)


def _named_pictures(row: Mapping[str, object]) -> list[str | bytes]:
    for column in PICTURE_COLUMNS:
        value = row.get(column)
        items = value if isinstance(value, list) else [value]
        named = [item.get("path") if isinstance(item, Mapping) else item for item in items]
        if found := [item for item in named if isinstance(item, str) and item]:
            return [_inline(item) or item for item in found]
    return []


def _inline(address: str) -> bytes | None:
    """Return the bytes of a `data:` address, or None if it is none."""
    if not address.startswith("data:") or len(address) > MAX_INLINE:
        return None
    try:
        return base64.b64decode(address.partition(",")[2], validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _with_places(turns: list[Turn], count: int) -> list[Turn]:
    first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
    places = "\n".join([IMAGE] * count)
    if first is None:
        return [Turn(role="user", text=places), *turns]
    asked = Turn(role="user", text=f"{places}\n{turns[first].text}")
    return [*turns[:first], asked, *turns[first + 1 :]]
