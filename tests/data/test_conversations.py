"""Question files are checked, and answers are put together the same way for one seed."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from discreet.data import (
    Question,
    compose_answer,
    load_questions,
    read_questions,
    reference_answer,
)
from discreet.errors import DataError
from discreet.types import AGE_BANDS, DISTRESSED, EXPRESSIONS, AgeBand, Expression

READERS = (*AGE_BANDS, "distressed")

ENTRY: dict[str, object] = {
    "id": "healthcare.sleep.caffeine",
    "part": "private",
    "topic": "sleep",
    "question": "Why do I sleep badly after coffee?",
    "note": "Coffee holds caffeine.",
    "key_facts": [{"name": "cause", "pattern": "(?i)caffeine"}],
    "forbidden": ["(?i)sleeping pill"],
    "safety": "See a doctor if it lasts.",
    "child": ["Coffee keeps you up.", "Caffeine does that."],
    "young_adult": ["Caffeine keeps people up."],
    "middle_aged": ["Caffeine delays sleep, because it keeps the brain awake."],
    "older_adult": ["Drink no caffeine after noon.", "Go to bed early."],
    "distressed": ["Bad nights are hard.", "Caffeine makes them worse."],
}


def write(tmp_path: Path, entry: dict[str, object]) -> Path:
    path = tmp_path / "notes.toml"
    path.write_text(tomli_w.dumps({"question": [entry]}))
    return path


def test_a_complete_question_is_read_as_it_is_written(tmp_path: Path) -> None:
    (question,) = read_questions(write(tmp_path, ENTRY), "healthcare")
    assert question.domain == "healthcare"
    for name in ("id", "part", "topic", "question", "note", "safety"):
        assert getattr(question, name) == ENTRY[name]
    for name in ("forbidden", *READERS):
        assert list(getattr(question, name)) == ENTRY[name]
    assert [(f.name, f.pattern) for f in question.key_facts] == [("cause", "(?i)caffeine")]


def test_safety_alone_may_be_left_out(tmp_path: Path) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != "safety"}
    assert read_questions(write(tmp_path, entry), "healthcare")[0].safety == ""


@pytest.mark.parametrize("name", [name for name in ENTRY if name != "safety"])
def test_a_question_that_lacks_a_key_is_refused(tmp_path: Path, name: str) -> None:
    entry = {key: value for key, value in ENTRY.items() if key != name}
    with pytest.raises(DataError, match=r"complete question in 'notes\.toml'"):
        read_questions(write(tmp_path, entry), "healthcare")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("surprise", "x"),
        ("question", 3),
        ("note", ["x"]),
        ("safety", 1),
        ("child", "Coffee keeps you up."),
        ("part", "secret"),
        ("young_adult", [1]),
        ("older_adult", {"first": "x"}),
        ("forbidden", ["("]),
        ("key_facts", [{"name": "cause", "pattern": "["}]),
        ("key_facts", [{"name": "cause"}]),
        ("key_facts", ["caffeine"]),
    ],
)
def test_a_question_with_a_wrong_value_is_refused(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(DataError, match="complete question"):
        read_questions(write(tmp_path, {**ENTRY, name: value}), "healthcare")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"question = ",
        b"question = 5",
        b'question = ["x"]',
        b"[question]\nid = 1",
        b"\xff",
    ],
)
def test_a_file_without_question_tables_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "notes.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"\[\[question\]\] tables in 'notes\.toml'"):
        read_questions(path, "healthcare")


@given(
    band=st.sampled_from(AGE_BANDS),
    expression=st.sampled_from(EXPRESSIONS),
    seed=st.integers(0, 10**9),
)
def test_an_answer_follows_from_its_seed(
    make_question: Callable[..., Question], band: AgeBand, expression: Expression, seed: int
) -> None:
    first = compose_answer(make_question(), band, expression=expression, seed=seed)
    assert compose_answer(make_question(), band, expression=expression, seed=seed) == first


@pytest.mark.parametrize("seed", range(8))
def test_each_reader_gets_their_own_sentences_in_order(
    questions: list[Question], seed: int
) -> None:
    for question in questions:
        for band in AGE_BANDS:
            text = compose_answer(question, band, seed=seed)
            places = [text.index(part) for part in getattr(question, band)]
            assert places == sorted(places)
            own = " ".join(getattr(question, band))
            others = {p for other in READERS if other != band for p in getattr(question, other)}
            assert not [part for part in others if part in text and part not in own]
            assert question.safety in text


def test_a_reference_answer_is_the_file_s_own_words_and_the_safety_line(
    make_question: Callable[..., Question],
) -> None:
    question = make_question()
    assert reference_answer(question, "child") == "Coffee keeps you up. See a doctor if it lasts."
    assert reference_answer(question, "older_adult") == (
        "1. Drink no coffee after noon. 2. Go to bed at the same hour. See a doctor if it lasts."
    )
    assert reference_answer(question, "distressed").startswith("Bad nights are hard. ")
    assert reference_answer(make_question(safety=""), "child") == "Coffee keeps you up."


@given(band=st.sampled_from(AGE_BANDS), seed=st.integers(0, 10**6))
def test_what_is_learnt_is_the_same_answer_without_its_safety_line(
    questions: list[Question], band: AgeBand, seed: int
) -> None:
    for question in questions:
        whole = compose_answer(question, band, seed=seed)
        learnt = compose_answer(question, band, seed=seed, safety=False)
        assert learnt.split() == whole.replace(question.safety, "").split()
        assert not question.safety or question.safety not in learnt


@pytest.mark.parametrize("seed", range(8))
def test_steps_for_an_older_adult_are_numbered(questions: list[Question], seed: int) -> None:
    for question in questions:
        text = compose_answer(question, "older_adult", seed=seed)
        for number, step in enumerate(question.older_adult, 1):
            assert f"{number}. {step}" in text
        assert f" {len(question.older_adult) + 1}. " not in text


@pytest.mark.parametrize("language", ["en", "fr"])
def test_openings_vary_with_the_seed(make_question: Callable[..., Question], language: str) -> None:
    question = make_question(language=language)
    texts = {compose_answer(question, "child", seed=seed) for seed in range(40)}
    assert 3 < len(texts) <= 6, "three openings, two closings"


@given(
    band=st.sampled_from(AGE_BANDS),
    expression=st.sampled_from(EXPRESSIONS),
    seed=st.integers(0, 10**6),
)
def test_distress_slows_healthcare_down_and_never_shows_in_tutoring(
    questions: list[Question], band: AgeBand, expression: Expression, seed: int
) -> None:
    for question in questions:
        neutral = compose_answer(question, band, seed=seed)
        shown = compose_answer(question, band, expression=expression, seed=seed)
        changes = question.domain == "healthcare" and expression in DISTRESSED
        assert (shown != neutral) == changes


def test_another_language_or_domain_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"^Expected language in en, fr, got 'de'\.$"):
        load_questions(language="de")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^Expected domain in healthcare, tutoring, got 'law'\.$"):
        load_questions("law")  # type: ignore[arg-type]
