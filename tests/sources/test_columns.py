"""Columns are told apart by their names: labels, labels for audits, who, and which part."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.sources import Origin, Problems
from discreet.sources.columns import MAX_LABEL, known, text_of, told_apart

HERE = Origin(file="list.csv", line=7)


def test_labels_for_audits_are_kept_apart() -> None:
    row = {"Age": "20-29", "Race": "Black", "gender": "Female", "mood": "calm"}
    columns = told_apart(row, HERE, Problems())
    assert columns.labels == {"age": "20-29", "mood": "calm"}
    assert columns.audit_labels == {"race": "Black", "gender": "Female"}


def test_an_emotion_is_what_a_face_shows() -> None:
    columns = told_apart({"emotion": "Happy"}, HERE, Problems())
    assert columns.labels == {"expression": "happy"}


def test_a_person_and_a_part_are_no_labels() -> None:
    row = {"user_id": "u7", "split": "val", "id": "3", "index": 4, "x": 1}
    columns = told_apart(row, HERE, Problems())
    assert (columns.person, columns.split, columns.labels) == ("u7", "validation", {"x": "1"})
    assert told_apart({"identity_id": "", "x": 1}, HERE, Problems()).person is None


@pytest.mark.parametrize(
    "name",
    ["patient", "Patient ID", "patient-id", "client_id", "MRN", "ssn", "resident", "student"]
    + ["pupil", "speaker", "author", "PersonId"],
)
def test_a_column_of_who_somebody_is_is_a_person_and_never_a_label(name: str) -> None:
    row = {"user": "u1", name: "Maria Huber", "x": 1}
    assert told_apart({name: "Maria Huber"}, HERE, Problems()).person == "Maria Huber"
    columns = told_apart(row, HERE, Problems())
    assert (columns.labels, columns.audit_labels) == ({"x": "1"}, {})


@pytest.mark.parametrize("name", ["name", "full_name", "First Name", "e-mail", "mail", "phone"])
def test_names_and_addresses_are_not_read(name: str) -> None:
    problems = Problems()
    columns = told_apart({name: "Maria Huber", "x": 1}, HERE, problems)
    assert (columns.person, columns.labels, problems.total) == (None, {"x": "1"}, 0)
    told_apart({name: None, "patient": None}, HERE, problems)
    assert not problems.total


def test_a_part_of_another_name_is_not_passed_on() -> None:
    problems = Problems()
    assert told_apart({"split": "HIV positive"}, HERE, problems).split == "other"
    assert [str(p) for p in problems.kept if "HIV" in str(p)] == []
    assert dict(problems.counts) == {"unknown_label": 1}
    assert told_apart({"split": None}, HERE, Problems()).split is None
    assert told_apart({"split": "Valid"}, HERE, Problems()).split == "validation"


@pytest.mark.parametrize("value", ["", "NaN", "nan", "None", "n/a", None, float("nan")])
def test_a_label_that_is_missing_is_a_problem_without_its_value(value: object) -> None:
    problems = Problems()
    assert told_apart({"age": value}, HERE, problems).labels == {}
    assert problems.kept[0].what == "a label that is missing (column 'age')"


def test_none_in_small_letters_is_a_word() -> None:
    assert told_apart({"beard": "none"}, HERE, Problems()).labels == {"beard": "none"}


def test_texts_and_nested_values_are_no_labels() -> None:
    row = {"caption": "x" * (MAX_LABEL + 1), "box": [1, 2], "meta": {"a": 1}}
    problems = Problems()
    columns = told_apart(row, HERE, problems)
    assert (columns.labels, columns.audit_labels, problems.total) == ({}, {}, 0)


def test_a_value_that_the_layout_does_not_know_is_not_passed_on() -> None:
    problems = Problems()
    vocabulary = {"age": ("3-9", "10-19")}
    values = {"age": "09-Mar", "race": "anything", "gender": " "}
    assert known(values, vocabulary, HERE, problems) == {"race": "anything"}
    assert dict(problems.counts) == {"unknown_label": 1, "missing_label": 1}
    assert not any("Mar" in str(problem) for problem in problems.kept)


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(row=st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_any_row_is_told_apart_into_texts_that_can_be_written(row: dict[str, object]) -> None:
    columns = told_apart(row, HERE, Problems())
    texts = [*columns.labels.values(), *columns.audit_labels.values(), columns.person or ""]
    for text in texts:
        text.encode()


@given(value=VALUES)
def test_a_text_can_always_be_written(value: object) -> None:
    text = text_of(value)
    assert text is None or text.encode() is not None
