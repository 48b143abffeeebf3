"""Conversations of every format come out as the same turns, with a place for each picture."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.sources import Turn
from discreet.sources.problems import KINDS
from discreet.sources.turns import IMAGE, Talk, is_talk, talk_of

ASKED = Turn(role="user", text="<image>\nWho is it?")
SAID = Turn(role="assistant", text="A child.")
SAME: dict[str, dict[str, object]] = {
    "llava": {
        "id": "1",
        "image": "a/1.jpg",
        "conversations": [
            {"from": "human", "value": "<image>\nWho is it?"},
            {"from": "gpt", "value": "A child."},
        ],
    },
    "sharegpt": {
        "images": ["a/1.jpg"],
        "conversations": [
            {"from": "user", "value": "Who is it?"},
            {"from": "assistant", "value": "A child."},
        ],
    },
    "messages": {
        "image": "a/1.jpg",
        "messages": [
            {"role": "user", "content": "<image>\nWho is it?"},
            {"role": "assistant", "content": "A child."},
        ],
    },
    "messages in parts": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "a/1.jpg"}},
                    {"type": "text", "text": "Who is it?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A child."}]},
        ]
    },
    "parts beside a column": {
        "images": [{"path": "a/1.jpg"}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "Who is it?"}],
            },
            {"role": "assistant", "content": "A child."},
        ],
    },
    "parts as a table fills them": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": "a/1.jpg", "image_url": None, "text": None},
                    {"type": "text", "image": None, "image_url": None, "text": "Who is it?"},
                ],
            },
            {"role": "assistant", "content": "A child."},
        ]
    },
    "user-vlm instruct": {"image": "a/1.jpg", "question": "Who is it?", "answer": "A child."},
}


@pytest.mark.parametrize("form", SAME)
def test_every_form_says_the_same(form: str) -> None:
    assert is_talk(SAME[form])
    assert talk_of(SAME[form]) == Talk(turns=(ASKED, SAID), pictures=("a/1.jpg",))


def test_the_answer_that_was_liked_less_is_told_apart() -> None:
    row = {"prompt": "Who?", "chosen": "A child.", "rejected": "A man.", "category": "age"}
    assert is_talk(row)
    talk = talk_of(row)
    assert isinstance(talk, Talk)
    assert [turn.role for turn in talk.turns] == ["user", "assistant", "rejected"]
    as_lists = {
        "prompt": [{"role": "user", "content": "Who?"}],
        "chosen": [{"role": "assistant", "content": "A child."}],
        "rejected": [{"role": "assistant", "content": "A man."}],
    }
    assert talk_of(as_lists) == talk


def test_a_picture_with_a_text_is_a_description() -> None:
    talk = talk_of({"image": "1.jpg", "text": "A child smiles."})
    assert isinstance(talk, Talk)
    assert talk.turns == (
        Turn(role="user", text=IMAGE),
        Turn(role="assistant", text="A child smiles."),
    )


def test_a_picture_inside_a_message_is_kept_as_bytes() -> None:
    address = "data:image/png;base64," + base64.b64encode(b"pixels").decode()
    parts = [{"type": "image_url", "image_url": {"url": address}}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": "A child."}]
    talk = talk_of({"messages": messages})
    assert isinstance(talk, Talk)
    assert talk.pictures == (b"pixels",)


def test_pictures_in_the_table_have_places_too() -> None:
    row = {"question": "Who?", "answer": "Two."}
    talk = talk_of(row, num_cells=2)
    assert isinstance(talk, Talk)
    assert talk.turns[0].text == "<image>\n<image>\nWho?"
    assert talk.pictures == ()


SAY = {"from": "gpt", "value": "A child."}


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"conversations": []}, "turns"),
        ({"conversations": [{"from": "human", "value": "Hello?"}]}, "turns"),
        ({"conversations": [{"from": "narrator", "value": "Once"}, SAY]}, "role"),
        ({"conversations": [{"value": "Once"}, SAY]}, "role"),
        ({"conversations": [{"from": "human"}, SAY]}, "turn"),
        ({"conversations": ["hello", SAY]}, "turn"),
        (
            {"conversations": [{"from": "human", "value": "<image> <image>"}, SAY], "image": "1"},
            "places",
        ),
        ({"conversations": [{"from": "human", "value": "<image>"}, SAY]}, "places"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}, {"role": "x"}]}, "turn"),
        ({"question": "Who?", "answer": ""}, "turns"),
        ({"question": None, "answer": "A child."}, "turns"),
        ({"question": "Who?", "answer": float("nan")}, "turns"),
        ({"question": "\ud800", "answer": "A child."}, "turns"),
        ({"prompt": "Who?", "chosen": "A child.", "rejected": None}, "turns"),
        ({"prompt": [{"role": "x", "content": "Who?"}], "chosen": "A.", "rejected": "B."}, "role"),
    ],
)
def test_what_is_no_whole_conversation_is_not_used(row: dict[str, object], fault: str) -> None:
    assert talk_of(row) == fault
    assert fault in KINDS


def test_other_rows_are_no_conversations() -> None:
    assert not is_talk({"file": "1.jpg", "age": "3-9"})
    assert not is_talk({"conversations": "text"})
    assert not is_talk({"text": "alone"})
    assert not is_talk([1])


WORDS = st.sampled_from(
    ["from", "value", "role", "content", "type", "text", "image", "url", "human", "gpt", IMAGE]
)
VALUES: Any = st.recursive(
    st.none() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["conversations", "messages", "question", "answer", "prompt", "chosen", "image", "text"]
)


@given(row=st.dictionaries(NAMES, VALUES, max_size=4), num_cells=st.integers(0, 2))
def test_any_row_is_a_conversation_with_its_pictures_or_none(
    row: dict[str, object], num_cells: int
) -> None:
    is_talk(row)
    talk = talk_of(row, num_cells=num_cells)
    if isinstance(talk, Talk):
        places = sum(turn.text.count(IMAGE) for turn in talk.turns)
        assert places == num_cells + len(talk.pictures)
        assert any(turn.role == "assistant" for turn in talk.turns)
