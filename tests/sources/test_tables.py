"""Tables are read row by row without their pictures; one picture comes when it is asked for."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discreet.errors import DataError
from discreet.sources import Problems
from discreet.sources.files import Folder
from discreet.sources.rows import first_values, read_rows
from discreet.sources.tables import Table, read_cell

ROWS = [
    {"image": {"bytes": b"one", "path": "1.jpg"}, "name": "a", "label": 0},
    {"image": {"bytes": b"two", "path": "2.jpg"}, "name": "b", "label": 1},
    {"image": None, "name": "c", "label": 0},
    {"image": {"bytes": b"four", "path": None}, "name": None, "label": 7},
]
FEATURES = datasets.Features(
    {
        "image": datasets.Image(decode=False),
        "name": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["sad", "happy"]),
    }
)


KINDS = ("parquet", "arrow")


def rows(path: Path) -> list[dict[str, Any] | None]:
    return [values for _, values in Table(path).rows()]


def parquet(path: Path, values: list[dict[str, Any]] = ROWS, **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(values), path, **options)
    return path


@pytest.fixture(scope="module")
def arrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Arrow file as `datasets` writes it, with names of classes in its schema."""
    folder = tmp_path_factory.mktemp("arrow")
    good = [row for row in ROWS if row["label"] in (0, 1)]
    datasets.Dataset.from_list(good, features=FEATURES).save_to_disk(folder)
    (path,) = folder.glob("data-*.arrow")
    return path


def test_of_a_picture_only_the_path_is_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet")
    assert [row and row["image"] for row in rows(path)] == [["1.jpg"], ["2.jpg"], [], [None]]
    assert Table(path).pictures == ["image"]
    assert "four" not in str(rows(path))


def test_a_picture_comes_when_it_is_asked_for(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", row_group_size=2)
    assert read_cell(path, 1, "image") == b"two"
    assert read_cell(path, 3, "image") == b"four"
    for row, column in ((2, "image"), (9, "image"), (0, "other")):
        with pytest.raises(DataError, match="Expected"):
            read_cell(path, row, column)


def test_what_datasets_writes_is_read_with_the_names_of_its_classes(arrow: Path) -> None:
    read = rows(arrow)
    assert [row and row["label"] for row in read] == ["sad", "happy", "sad"]
    assert [row and row["name"] for row in read] == ["a", "b", "c"]
    assert [row and row["image"] for row in read] == [["1.jpg"], ["2.jpg"], []]
    assert read_cell(arrow, 1, "image") == b"two"


def test_lists_of_pictures_are_counted_and_read_one_by_one(tmp_path: Path) -> None:
    values = [
        {"images": [{"bytes": b"a", "path": "a.png"}, {"bytes": b"b", "path": None}], "x": 1},
        {"images": [], "x": 2},
    ]
    path = parquet(tmp_path / "t.parquet", values)
    read = list(read_rows(path, Folder(path), Problems()))
    assert [[cell.read() for cell in row.cells] for row in read] == [[b"a", b"b"], []]
    stream = tmp_path / "t.arrow"
    table = pa.Table.from_pylist(values)
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    read = list(read_rows(stream, Folder(stream), Problems()))
    assert [[cell.read() for cell in row.cells] for row in read] == [[b"a", b"b"], []]


def test_plain_bytes_are_pictures_too(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", [{"image": b"one", "x": 1}, {"image": b"two", "x": 2}])
    read = list(read_rows(path, Folder(path), Problems()))
    assert [row.cells[0].read() for row in read] == [b"one", b"two"]
    assert [row.values for row in read] == [{"x": 1}, {"x": 2}]


def test_a_column_that_only_names_files_holds_no_bytes(tmp_path: Path) -> None:
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    values = [{"bytes": None, "path": "1.jpg"}]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": pa.array(values, kind)}), path)
    assert not Table(path).holds_bytes("image")
    (row,) = read_rows(path, Folder(path), Problems())
    assert (row.cells, row.values) == ((), {"image": ["1.jpg"]})


def test_a_row_whose_text_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"caf\xe9", b"fine"], pa.binary()).view(pa.string())
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"name": raw}), path)
    problems = Problems()
    read = list(read_rows(path, Folder(path), problems))
    assert [row.values["name"] for row in read] == ["good", "fine"]
    assert [(p.kind, p.line) for p in problems.kept] == [("encoding", 2)]


def test_a_damaged_table_is_a_problem(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet")
    data = path.read_bytes()
    for cut in (b"", b"PAR1", data[: len(data) // 2], b"not a table"):
        path.write_bytes(cut)
        problems = Problems()
        assert list(read_rows(path, Folder(path), problems)) == []
        assert dict(problems.counts) == {"table": 1}
        assert first_values(path) == {}


@settings(max_examples=60)
@given(
    at=st.integers(0, 3000), byte=st.integers(0, 255), name=st.sampled_from(["parquet", "arrow"])
)
def test_a_changed_byte_ends_in_rows_or_a_problem(
    at: int, byte: int, name: str, arrow: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{name}"
    data = bytearray(parquet(path).read_bytes() if name == "parquet" else arrow.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(data)
    for row in read_rows(path, Folder(path), Problems()):
        for cell in row.cells:
            with suppress(DataError):
                cell.read()


@pytest.mark.parametrize(
    ("kind", "number", "told"),
    [
        (pa.timestamp("us"), 2**62, None),
        (pa.timestamp("us"), 60_000_000, "1970-01-01 00:01:00.000000"),
        (pa.timestamp("ms", "Mars/Phobos"), 60_000, "1970-01-01 00:01:00.000"),
        (pa.date32(), 2**30, None),
        (pa.date32(), 1, "1970-01-02"),
        (pa.time32("ms"), 61_000, "00:01:01.000"),
        (pa.duration("us"), 2**62, str(2**62)),
        (pa.decimal128(22, 2), 3, "3.00"),
    ],
)
def test_times_and_decimals_are_text_whatever_they_hold(
    kind: pa.DataType, number: int, told: str | None, tmp_path: Path
) -> None:
    """Where Python's own types cannot hold one, the other cells of the table are still read."""
    plain = {"decimal": pa.int64(), "date32": pa.int32(), "time32": pa.int32()}
    width = next((w for name, w in plain.items() if str(kind).startswith(name)), pa.int64())
    column = pa.array([number, None], width)
    column = column.cast(kind) if pa.types.is_decimal(kind) else column.view(kind)
    table = pa.table({"when": column, "name": ["a", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert rows(tmp_path / "t.parquet") == [
        {"when": told, "name": "a"},
        {"when": None, "name": "b"},
    ]


def test_a_table_with_two_columns_of_one_name_is_not_read(tmp_path: Path) -> None:
    table = pa.table([["a"], ["b"]], names=["name", "name"])
    pq.write_table(table, tmp_path / "t.parquet")
    problems = Problems()
    assert not list(read_rows(tmp_path / "t.parquet", Folder(tmp_path), problems))
    assert problems.counts == {"list": 1}
