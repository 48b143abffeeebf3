"""One door: the layout is found, records come lazily, and each comes once."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from discreet.errors import DataError
from discreet.sources import (
    KINDS,
    READERS,
    Medium,
    Origin,
    Problems,
    check_source,
    find_reader,
    partition,
    read_shares,
    read_source,
    write_index,
)

from .small import found, lines, picture, put, read, table

HEADER = ("file", "age", "gender", "race", "service_test")


def fairface(root: Path, *rows: tuple[object, ...]) -> Path:
    return put(root, {"fairface_label_train.csv": table(HEADER, *rows)})


def test_a_layout_is_found_named_or_refused(tmp_path: Path) -> None:
    put(tmp_path, {"a/1.jpg": picture(), "b/2.txt": "x"})
    assert find_reader(tmp_path / "a").name == "image_folder"
    assert find_reader(tmp_path / "a", layout="image_folder").name == "image_folder"
    with pytest.raises(DataError, match="looks like: fairface_label_train.csv"):
        find_reader(tmp_path / "a", layout="fairface")
    with pytest.raises(ValueError, match="Expected a layout in fairface, utkface"):
        find_reader(tmp_path / "a", layout="imagenet")
    with pytest.raises(DataError, match="discreet data list"):
        find_reader(tmp_path / "b")
    with pytest.raises(DataError, match="found nothing"):
        find_reader(tmp_path / "none")


def test_special_layouts_come_before_general_ones(tmp_path: Path) -> None:
    fairface(tmp_path, ("train/1.jpg", "3-9", "Male", "White", True))
    put(
        tmp_path, {"train/1.jpg": picture(), "chats.jsonl": lines({"question": "a", "answer": "b"})}
    )
    assert find_reader(tmp_path).name == "fairface"
    assert len(read(tmp_path, "chats")[0]) == 1
    assert len(read(tmp_path, "image_folder")[0]) == 1


def test_records_come_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of many rows, little of the list was read, and no picture."""
    rows = [(f"train/{n}.jpg", "3-9", "Male", "White", True) for n in range(50_000)]
    fairface(tmp_path, *rows)
    put(tmp_path, {"train/0.jpg": picture()})
    opened = []
    real = io.open

    def watched(file: object, *arguments: object, **options: object) -> object:
        opened.append(os.fspath(file) if isinstance(file, os.PathLike | str) else "")
        return real(file, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(io, "open", watched)
    problems = Problems()
    records: Iterator[object] = read_source(tmp_path, problems=problems)
    next(records)
    assert not problems.total, "the row behind the first would be a missing file"
    assert not any(str(name).endswith(".jpg") for name in opened)


def test_a_record_that_comes_again_is_left_out(tmp_path: Path) -> None:
    row = ("train/1.jpg", "3-9", "Male", "White", True)
    fairface(tmp_path, row, ("./train//1.jpg", "10-19", "Male", "White", True), row)
    put(tmp_path, {"train/1.jpg": picture()})
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert found(problems) == {"duplicate": [3, 4]}


def said(number: int, user: str | None) -> dict[str, object]:
    row: dict[str, object] = {"question": f"How are you, {number}?", "answer": "Well."}
    return row if user is None else {**row, "user": user}


def test_words_are_left_out_only_where_their_person_said_them_before(tmp_path: Path) -> None:
    rows = [said(0, "anna"), said(0, "bert"), said(0, "anna"), said(1, None), said(1, None)]
    records, problems = read(put(tmp_path, {"c.jsonl": lines(*rows)}))
    assert [record.person for record in records] == ["anna", "bert", None, None]
    assert found(problems) == {"same_words": [2, 5], "duplicate": [3]}


@pytest.mark.parametrize("gone", ["anna", "bert", None])
def test_sets_that_differ_in_one_person_differ_in_their_examples_alone(
    gone: str | None, tmp_path: Path
) -> None:
    rows = [said(n, user) for n in range(2) for user in ("anna", "bert", None, "carl")]

    def of_others(name: str, kept: list[dict[str, object]]) -> list[tuple[object, ...]]:
        records, _ = read(put(tmp_path / name, {"c.jsonl": lines(*kept)}))
        return [(one.person, one.turns) for one in records if one.person != gone]

    others = [row for row in rows if row.get("user") != gone]
    assert of_others("all", rows) == of_others("less", others)
    assert len(of_others("less", others)) == 6


def test_refusing_stops_at_the_first_problem_with_file_and_line(tmp_path: Path) -> None:
    fairface(
        tmp_path,
        ("train/1.jpg", "3-9", "Male", "White", True),
        ("train/secret.jpg", "3-9", "Male", "White", True),
        ("train/other.jpg", "3-9", "Male", "White", True),
    )
    put(tmp_path, {"train/1.jpg": picture()})
    problems = Problems("refuse")
    with pytest.raises(DataError, match=r"fairface_label_train.csv, line 3: a file that") as error:
        list(read_source(tmp_path, problems=problems))
    assert "secret" not in str(error.value)


def test_what_loses_nothing_is_never_refused() -> None:
    problems = Problems("refuse")
    for kind in ("animated", "near_duplicate", "duplicate_id", "same_words"):
        problems.add(kind, Origin(file="a"))
    assert problems.total == 4


def test_counts_go_on_when_problems_are_no_longer_kept() -> None:
    problems = Problems(keep=2)
    for number in range(5):
        problems.add("row", Origin(file="a", line=number))
    assert (problems.total, len(problems.kept)) == (5, 2)


def test_every_kind_of_problem_has_a_way_out() -> None:
    assert all(what and way_out.endswith(".") for what, way_out in KINDS.values())


def test_every_reader_says_where_it_is_from_and_under_which_terms() -> None:
    for name, reader in READERS.items():
        assert reader.name == name
        assert reader.looks_like
        assert reader.licence
        assert reader.source


def test_nothing_is_changed_on_disk(tmp_path: Path) -> None:
    fairface(tmp_path, ("train/1.jpg", "3-9", "Male", "White", True))
    put(tmp_path, {"train/1.jpg": picture()})
    before = {path: path.stat() for path in tmp_path.rglob("*")}
    read(tmp_path)
    after = {path: path.stat() for path in tmp_path.rglob("*")}
    assert before.keys() == after.keys()
    assert all(before[p].st_mtime_ns == after[p].st_mtime_ns for p in before)


def tables_of_one_name(root: Path) -> Path:
    for number, place in enumerate(("", "a", "b")):
        row = {"image": {"bytes": picture(number), "path": None}, "question": "Who?"}
        (root / place).mkdir(parents=True, exist_ok=True)
        rows = pa.Table.from_pylist([{**row, "answer": "Nobody.", "user": f"u{number}"}])
        pq.write_table(rows, root / place / "train.parquet")
    return root


@pytest.mark.parametrize("way", ["set", "./set", "set/../set", "link", "."])
def test_a_set_is_the_same_however_its_path_is_written(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of one name in two folders are two, and each person keeps their own picture."""
    root = tables_of_one_name(tmp_path / "set")
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(root if way == "." else tmp_path)
    records, problems = read(Path(way))
    assert [record.media[0].name for record in records] == [
        "train.parquet",
        "a/train.parquet",
        "b/train.parquet",
    ]
    assert problems.counts == {}
    write_index(partition(iter(records), 1), tmp_path / "out.parquet")
    for _, record in read_shares(tmp_path / "out.parquet"):
        assert record.media[0].read() == picture(int((record.person or "")[1:]))
    told, known = check_source(Path(way)), check_source(root)
    assert (told.pictures, told.lists) == (3, known.lists)
    assert len(known.lists) == 3


def test_a_table_that_is_named_by_a_relative_path_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables_of_one_name(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    records, problems = read(Path("a/train.parquet"))
    assert [record.media[0].name for record in records] == ["train.parquet"]
    assert records[0].media[0].read() == picture(1)
    assert not problems.total


def test_a_medium_outside_its_set_has_no_name() -> None:
    with pytest.raises(ValueError, match="below the folder of its set"):
        _ = Medium(role="picture", path=Path("a/1.jpg"), root=Path("/set")).name
