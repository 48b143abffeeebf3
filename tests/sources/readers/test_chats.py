"""Chats in every file format, with pictures beside them or inside."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from discreet.sources import find_reader
from discreet.sources.turns import ROLES

from ..small import found, lines, picture, put, read, table

ROWS: list[dict[str, Any]] = [
    {"id": "1", "image": "images/1.jpg", "question": "Who?", "answer": "A child.", "user": "u1"},
    {
        "id": "2",
        "image": "images/2.jpg",
        "question": "Who, so?",
        "answer": "A man.",
        "user": "u2",
    },
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put(tmp_path, {"images/1.jpg": picture(1), "images/2.jpg": picture(2)})


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    elif path.suffix == ".jsonl":
        path.write_text(lines(*rows))
    else:
        listed = table(tuple(rows[0]), *(tuple(row.values()) for row in rows))
        path.write_text(listed.replace(",", "\t") if path.suffix == ".tsv" else listed)
    return path


@pytest.mark.parametrize("name", ["c.json", "c.jsonl", "c.csv", "c.parquet"])
def test_every_file_format_gives_the_same_records(root: Path, name: str) -> None:
    path = write(root / name, ROWS)
    assert find_reader(path).name == "chats"
    records, problems = read(path)
    assert [[turn.text for turn in record.turns] for record in records] == [
        ["<image>\nWho?", "A child."],
        ["<image>\nWho, so?", "A man."],
    ]
    assert [record.media[0].name for record in records] == ["images/1.jpg", "images/2.jpg"]
    assert [record.person for record in records] == ["u1", "u2"]
    assert [dict(record.labels) for record in records] == [{}, {}], "texts are no labels"
    assert not problems.total


def test_a_folder_of_chats_is_read_as_one_set(root: Path) -> None:
    write(root / "b.jsonl", ROWS[1:])
    write(root / "a.json", ROWS[:1])
    records, _ = read(root)
    assert [record.origin.file for record in records] == ["a.json", "b.jsonl"]


def test_pictures_are_found_beside_the_list_that_names_them(root: Path) -> None:
    (root / "deep").mkdir()
    (root / "images").rename(root / "deep" / "images")
    write(root / "deep" / "c.jsonl", ROWS)
    assert len(read(root)[0]) == 2


def test_pictures_in_the_table_stay_there(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": picture(1), "path": None}, "question": "Who?", "answer": "A child."}
    ]
    records, _ = read(write(tmp_path / "c.parquet", rows))
    assert records[0].turns[0].text == "<image>\nWho?"
    assert records[0].media[0].read() == picture(1)


def test_captions_beside_pictures_are_conversations(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"1.jpg": picture(1), "metadata.jsonl": lines({"file_name": "1.jpg", "text": "A child."})},
    )
    (record,), _ = read(tmp_path)
    assert [turn.text for turn in record.turns] == ["<image>", "A child."]


def test_bad_rows_are_reported_without_their_words(root: Path) -> None:
    listed = (
        lines(ROWS[0], ROWS[0] | {"id": "1", "question": "Another?"}, ROWS[0])
        + '{"question": "broken\n'
        + lines({"question": "My secret?"}, [1], ROWS[1] | {"image": "../x.jpg"})
        + lines(ROWS[1] | {"image": "https://example.org/1.jpg"})
        + lines(ROWS[1] | {"image": ["images/1.jpg", "images/2.jpg"], "question": "<image>?"})
    )
    put(root, {"c.jsonl": listed})
    records, problems = read(root / "c.jsonl")
    assert len(records) == 2
    assert found(problems) == {
        "duplicate_id": [2, 3, 8, 9],
        "duplicate": [3],
        "json": [4, 6],
        "turns": [5],
        "places": [9],
        "outside": [7],
        "remote": [8],
    }
    assert "secret" not in " ".join(str(problem) for problem in problems.kept)


def test_labels_of_conversations_are_told_apart(root: Path) -> None:
    path = write(root / "c.jsonl", [ROWS[0] | {"category": "sleep", "gender": "f", "split": "val"}])
    (record,), _ = read(path)
    assert record.labels == {"category": "sleep"}
    assert record.audit_labels == {"gender": "f"}
    assert record.split == "validation"


def test_a_role_that_is_not_known_is_not_repeated_and_those_known_are_named(root: Path) -> None:
    said = [{"from": "Grace", "value": "Hello?"}, {"from": "gpt", "value": "Hello."}]
    put(root, {"c.jsonl": lines({"conversations": said})})
    _, problems = read(root / "c.jsonl")
    assert found(problems) == {"role": [1]}
    assert "Grace" not in str(problems.kept[0])
    assert all(role in str(problems.kept[0]) for role in ROLES)
