"""Lists are read row by row; what cannot be read is counted with its line, never guessed."""

import csv
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discreet.sources import Problems
from discreet.sources.files import Folder
from discreet.sources.lists import (
    MAX_BYTES,
    csv_header,
    first_json_item,
    read_csv,
    read_json_items,
    read_lines,
)

from .small import found


def of_lines(path: Path, data: bytes) -> tuple[list[tuple[int | None, str]], Problems]:
    path.write_bytes(data)
    problems = Problems()
    read = [(origin.line, line) for origin, line in read_lines(path, Folder(path), problems)]
    return read, problems


def of_csv(path: Path, data: bytes, **options: Any) -> tuple[list[Any], Problems]:
    path.write_bytes(data)
    problems = Problems()
    rows = [(origin.line, row) for origin, row in read_csv(path, Folder(path), problems, **options)]
    return rows, problems


def of_json(path: Path, data: bytes) -> tuple[list[Any], Problems]:
    path.write_bytes(data)
    problems = Problems()
    items = [(origin.line, item) for origin, item in read_json_items(path, Folder(path), problems)]
    return items, problems


def test_byte_order_marks_and_line_ends_are_not_part_of_a_line(tmp_path: Path) -> None:
    read, problems = of_lines(tmp_path / "l", b"\xef\xbb\xbfone\r\n\r\ntwo\nthree")
    assert read == [(1, "one"), (2, ""), (3, "two"), (4, "three")]
    assert not problems.total


def test_a_line_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    read, problems = of_lines(tmp_path / "l", b"one\ncaf\xe9\nthree\n")
    assert read == [(1, "one"), (3, "three")]
    assert found(problems) == {"encoding": [2]}


def test_a_file_in_utf16_is_one_problem(tmp_path: Path) -> None:
    read, problems = of_lines(tmp_path / "l", "one\ntwo".encode("utf-16"))
    assert read == []
    assert found(problems) == {"encoding": [1]}


def test_a_line_without_end_is_not_kept_in_memory(tmp_path: Path) -> None:
    read, problems = of_lines(tmp_path / "l", b"a\n" + b"x" * (MAX_BYTES + 5) + b"\nb\n")
    assert read == [(1, "a"), (3, "b")]
    assert found(problems) == {"too_long": [2]}


def test_quoted_commas_and_line_ends_stay_in_their_field(tmp_path: Path) -> None:
    data = b'file,note\r\n1.jpg,"a, b"\r\n2.jpg,"two\r\nlines"\r\n3.jpg,c\r\n'
    rows, problems = of_csv(tmp_path / "l.csv", data)
    assert [(line, row["note"]) for line, row in rows] == [(2, "a, b"), (3, "two\nlines"), (5, "c")]
    assert not problems.total


def test_a_row_with_more_or_fewer_fields_is_not_guessed_at(tmp_path: Path) -> None:
    rows, problems = of_csv(tmp_path / "l.csv", b"a,b\n1,2\n3\n4,5,6\n\n7,8\n")
    assert [line for line, _ in rows] == [2, 6]
    assert found(problems) == {"row": [3, 4]}


def test_a_header_may_end_in_a_column_without_a_name(tmp_path: Path) -> None:
    rows, _ = of_csv(tmp_path / "l.csv", b"path,\n1.mp4,folder/id1\n", needed=("path", ""))
    assert rows == [(2, {"path": "1.mp4", "": "folder/id1"})]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"a,a\n1,2\n", b"other\n1\n", b",\n1,2\n"])
def test_a_list_without_its_columns_is_one_problem(tmp_path: Path, data: bytes) -> None:
    rows, problems = of_csv(tmp_path / "l.csv", data, needed=("a",))
    assert rows == []
    assert dict(problems.counts) == {"list": 1}


def test_a_quote_without_end_costs_rows_and_no_more(tmp_path: Path) -> None:
    data = b'a,b\n1,"open\n' + b"2,3\n" * 60_000
    rows, problems = of_csv(tmp_path / "l.csv", data)
    assert problems.counts["row"] >= 1
    assert rows, "after the longest field allowed, rows are read again"


def test_a_header_is_read_from_the_first_line_only(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"\xef\xbb\xbffile, age\r\nx")
    assert csv_header(tmp_path / "l.csv") == ("file", "age")
    assert csv_header(tmp_path / "none.csv") == ()


def test_json_lines_and_arrays_give_the_same_values_and_lines(tmp_path: Path) -> None:
    values = [{"a": 1}, {"b": "ü\n"}, [1, [2]], "x", 3.5, None, True]
    as_lines = "\n".join(json.dumps(value) for value in values).encode()
    as_array = ("[\n" + ",\n".join(json.dumps(value) for value in values) + "\n]\n").encode()
    one, problems = of_json(tmp_path / "a.jsonl", as_lines)
    two, more = of_json(tmp_path / "a.json", b"\xef\xbb\xbf" + as_array)
    assert [item for _, item in one] == [item for _, item in two] == values
    assert [line for line, _ in one] == list(range(1, 8))
    assert [line for line, _ in two] == list(range(2, 9))
    assert not problems.total + more.total


def test_a_line_that_is_no_json_is_left_out(tmp_path: Path) -> None:
    items, problems = of_json(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": \n\n{"a": 3}\n')
    assert [line for line, _ in items] == [1, 4]
    assert found(problems) == {"json": [2]}


def test_an_array_is_read_to_the_value_that_is_no_json(tmp_path: Path) -> None:
    items, problems = of_json(tmp_path / "a.json", b'[{"a": 1},\n{"a": 2},\n{"a" 3}]')
    assert [item["a"] for _, item in items] == [1, 2]
    assert found(problems) == {"json": [3]}


def test_an_array_that_was_cut_off_is_a_problem(tmp_path: Path) -> None:
    items, problems = of_json(tmp_path / "a.json", b'[{"a": 1},\n{"a": 2}')
    assert len(items) == 2
    assert found(problems) == {"json": [2]}


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'["\xff"]', b"[" + b"1" * 5000 + b"]", b'{"a":' * 50_000]
)
def test_odd_json_ends_in_a_problem(tmp_path: Path, data: bytes) -> None:
    assert of_json(tmp_path / "a.json", data)[1].total == 1


def test_values_longer_than_a_window_are_read_whole(tmp_path: Path) -> None:
    values = [{"text": "x" * 300_000}, {"text": "y"}, *({"n": n} for n in range(30_000))]
    started = time.perf_counter()
    items, _ = of_json(tmp_path / "a.json", json.dumps(values).encode())
    assert [item for _, item in items] == values
    assert time.perf_counter() - started < 20


def test_the_first_value_tells_a_layout(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, broken')
    assert first_json_item(tmp_path / "a.json") == {"a": 1}
    assert first_json_item(tmp_path / "none.json") is None


@given(data=st.binary(max_size=300))
def test_any_bytes_end_in_rows_or_problems(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    of_lines(path, data)
    of_csv(path, data)
    of_json(path, data)
    of_json(path, b"[" + data)


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)


@given(rows=st.lists(st.tuples(FIELDS.filter(str.strip), FIELDS), max_size=5))
def test_what_python_writes_as_csv_is_read_back(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("a", "b"), *rows])
    read, problems = of_csv(path, path.read_bytes())
    assert [tuple(row.values()) for _, row in read] == rows
    assert not problems.total


@given(values=st.lists(st.recursive(st.none() | st.integers() | st.text(), st.lists), max_size=5))
def test_what_python_writes_as_json_is_read_back(
    values: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.json"
    read, problems = of_json(path, json.dumps(values, indent=1).encode())
    assert [item for _, item in read] == values
    assert not problems.total
