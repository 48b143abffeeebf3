"""What does not fit: sentences of the note go first, and the caller is told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.model import (
    IMAGE_TOKEN,
    MAX_QUESTION_TOKENS,
    TooManyTokens,
    build_prompt,
    fit_note,
    load,
)
from discreet.model.prompt import encode_prompt

VLM = load("tiny")  # a token a byte, 4096 of them
PERSONS = ["a child", "somebody, in plain sentences"]
SENTENCE = "Rest for some days and drink enough water."


def fitted(count: int, question: str = "Why rest?", tokens: int = 96, **changes: object):  # type: ignore[no-untyped-def]
    note = " ".join(f"{n}: {SENTENCE}" for n in range(count))
    given = {"note": note, "persons": PERSONS, "max_new_tokens": tokens, **changes}
    return note, fit_note(VLM, question, **given)


def length(question: str, note: str) -> int:
    prompts = [build_prompt(question, note=note, person=person) for person in PERSONS]
    return max(len(encode_prompt(VLM, prompt)) for prompt in prompts)


@settings(max_examples=25)
@given(
    count=st.integers(1, 200), tokens=st.integers(1, 3000), question=st.text("why? ", max_size=500)
)
def test_as_many_sentences_stay_as_fit(count: int, tokens: int, question: str) -> None:
    """By one loop over all of them."""
    note = " ".join(f"{n}: {SENTENCE}" for n in range(count))
    parts = note.split(". ")
    texts = [". ".join(parts[:n]).removesuffix(".") + "." for n in range(1, count + 1)]
    fits = [text for text in texts if length(question, text) + tokens <= 4096]
    if not fits:
        with pytest.raises(TooManyTokens, match="one sentence of the note"):
            fitted(count, question, tokens)
        return
    _, found = fitted(count, question, tokens)
    assert found.text == fits[-1]
    assert found.sentences_cut == count - len(fits)


def test_a_note_that_fits_is_left_alone() -> None:
    note, found = fitted(3)
    assert (found.text, found.sentences_cut) == (note, 0)
    odd = "No stop,  two spaces"
    assert fitted(0, note=odd)[1].text == odd


def test_pictures_and_persons_count_and_are_never_cut() -> None:
    _, words = fitted(200)
    _, picture = fitted(200, persons=[*PERSONS, IMAGE_TOKEN * 200])
    assert picture.sentences_cut > words.sentences_cut


@pytest.mark.parametrize("text", ["why " * 100_000, "?" * (MAX_QUESTION_TOKENS + 1)])
def test_a_question_above_the_limit_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(TooManyTokens, match="at most (1024 tokens|65536 characters)") as caught:
        fitted(1, text)
    assert "why" not in str(caught.value)


def test_the_longest_question_is_read_whole() -> None:
    question = "?" * MAX_QUESTION_TOKENS
    _, found = fitted(200, question)
    assert question in build_prompt(question, note=found.text, person="me")[1]["content"]
    assert found.sentences_cut
