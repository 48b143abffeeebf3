"""Parquet and Arrow tables as streams of rows, without the pictures in them.

Of a column of pictures only the path is read; `read_cell` fetches one picture when it is asked for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from discreet.errors import DataError

PARQUET = frozenset({".parquet"})
ARROW = frozenset({".arrow"})
_BATCH = 512
_DAMAGED = (OSError, pa.ArrowException, ValueError, OverflowError, MemoryError)
"""What pyarrow raises on bytes that are not what their header says."""


class Table:
    """One file of rows; what it says of its columns, and its rows batch by batch."""

    def __init__(self, path: Path) -> None:
        """Read the schema.

        Raises:
            DataError: if the file is no table.
        """
        self.path = path
        try:
            schema: pa.Schema = _schema(path)
            self.names: list[str] = list(schema.names)
            self.pictures: list[str] = [f.name for f in schema if _is_picture(f.type)]
            self.class_names = _class_names(schema)
        except _DAMAGED as error:
            raise DataError(
                f"Expected a Parquet or Arrow file, could not read it ({type(error).__name__}). "
                "Copy it again."
            ) from None  # the cause may name the file, or a value

    def holds_bytes(self, column: str) -> bool:
        """Return whether a column of pictures holds them; else it names files.

        Raises:
            DataError: if the file is damaged.
        """
        try:
            return _first_bytes(self.path, column) is not None
        except _DAMAGED:
            raise DataError(
                "Expected a whole table. Copy it again."
            ) from None  # the cause may name the file, or a value

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Yield number and values of each row; None for one whose text is not UTF-8.

        Of pictures, the value is a list of their paths, None where the table has none. A class is
        given by its name.

        Raises:
            DataError: if the rest of the table is damaged.
        """
        number = 0
        try:
            for batch in self._batches():
                for values in _values(_as_text(batch)):
                    yield number, self._named(values) if values is not None else None
                    number += 1
        except _DAMAGED as error:
            raise DataError(
                f"Expected a whole table, could not read it to its end ({type(error).__name__}). "
                "Copy it again."
            ) from None  # the cause may name the file, or a value

    def _named(self, values: dict[str, Any]) -> dict[str, Any]:
        for column in self.pictures:
            cell = values.get(column, {})
            cells = cell if isinstance(cell, list) else [cell]
            values[column] = [item.get("path") for item in cells if isinstance(item, dict)]
        for column, names in self.class_names.items():
            number = values.get(column)
            if isinstance(number, int):
                values[column] = names[number] if 0 <= number < len(names) else None
        return values

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.path.suffix.lower() in PARQUET:
            with pq.ParquetFile(self.path) as file:
                yield from file.iter_batches(_BATCH, columns=_columns(file, self.pictures))
            return
        with pa.memory_map(str(self.path)) as source:
            for batch in _arrow(source):
                for start in range(0, batch.num_rows, _BATCH):
                    part = batch.slice(start, _BATCH)
                    part.validate(full=True)  # a damaged offset would end the process
                    yield _without_bytes(part, self.pictures)


def column_names(path: Path) -> list[str]:
    """Return the names of a table's columns; none if it cannot be read."""
    try:
        return Table(path).names
    except DataError:
        return []


def pictures_of(path: Path) -> list[str]:
    """Return the columns of a table that hold pictures; none if it cannot be read."""
    try:
        return Table(path).pictures
    except DataError:
        return []


def read_cell(path: Path, row: int, column: str, item: int = 0) -> bytes:
    """Return the bytes of a picture in a table, of a list of pictures the one at `item`.

    Raises:
        DataError: if there are none.
    """
    try:
        cell = _cell(path, row, column)
        cell = cell[item] if isinstance(cell, list) else cell
    except (*_DAMAGED, KeyError, IndexError) as error:
        raise DataError(
            f"Expected a picture in a table, could not read it ({type(error).__name__}). Check the "
            "set again."
        ) from None  # the cause may name the file, or a value
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(data, bytes) or not data:
        raise DataError("Expected bytes of a picture in a table, got none. Fill in the row.")
    return data


def _cell(path: Path, row: int, column: str) -> object:
    if path.suffix.lower() in PARQUET:
        starts = _group_starts(path)
        group = next(i for i in range(len(starts) - 1, -1, -1) if starts[i] <= row)
        cell: object = _group(path, group, column)[row - starts[group]].as_py()
        return cell
    with pa.memory_map(str(path)) as source:
        for batch in _arrow(source):
            if row < batch.num_rows:
                part = batch.select([column]).slice(row, 1)
                part.validate(full=True)
                return part.column(0)[0].as_py()
            row -= batch.num_rows
    raise IndexError(row)


def _first_bytes(path: Path, column: str) -> object:
    """Return something of a column's first row if it holds bytes, and None if it names a file.

    Asked of a row and not of the file's statistics: damaged ones end the process (pyarrow 26).
    """
    cell: object = b""
    if path.suffix.lower() in PARQUET:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1, columns=[column]):
                cell = batch.column(0)[0].as_py()
                break
    else:
        with suppress(IndexError):
            cell = _cell(path, 0, column)
    cells = cell if isinstance(cell, list) else [cell]
    found = cells[0] if cells else b""
    return found.get("bytes") if isinstance(found, dict) and found.get("path") else b""


@lru_cache(maxsize=64)
def _group_starts(path: Path) -> list[int]:
    with pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    return [sum(sizes[:i]) for i in range(len(sizes))]


@lru_cache(maxsize=1)
def _group(path: Path, group: int, column: str) -> pa.ChunkedArray:
    """Return a column of one row group; the last is kept, as neighbours are often asked for."""
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=[column]).column(column)


def _schema(path: Path) -> pa.Schema:
    if path.suffix.lower() in PARQUET:
        return pq.read_schema(path)
    with pa.memory_map(str(path)) as source:
        return _arrow(source).schema


def _arrow(source: pa.NativeFile) -> Any:
    """Open a stream, as `datasets` writes it, or an Arrow file."""
    if source.read(6) == b"ARROW1":
        source.seek(0)
        reader = pa.ipc.open_file(source)
        return _Batches(reader)
    source.seek(0)
    return pa.ipc.open_stream(source)


class _Batches:
    """An Arrow file read in order, as a stream is."""

    def __init__(self, reader: pa.RecordBatchFileReader) -> None:
        self.schema = reader.schema
        self._reader = reader

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for index in range(self._reader.num_record_batches):
            yield self._reader.get_batch(index)


def _is_picture(kind: pa.DataType) -> bool:
    """Return whether a column holds bytes, or structs of `bytes` and `path`, or lists of these."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.types.is_struct(kind.value_type) and _is_picture(kind.value_type)
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_picture(kind.field("bytes").type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _columns(file: pq.ParquetFile, pictures: list[str]) -> list[str]:
    """Return what to read: all leaves but the bytes of pictures."""
    schema = file.schema
    leaves = [schema.column(index).path for index in range(len(schema))]
    return [
        leaf
        for leaf in leaves
        if leaf.endswith(".path")
        or not any(leaf == name or leaf.startswith(f"{name}.") for name in pictures)
    ]


def _without_bytes(batch: pa.RecordBatch, pictures: list[str]) -> pa.RecordBatch:
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name not in pictures:
            columns[name] = column
        elif pa.types.is_struct(column.type):
            columns[name] = _path_of(column)
        elif not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
            counts = pc.list_value_length(column).to_pylist()
            columns[name] = pa.array([[{"path": None}] * (count or 0) for count in counts])
    return pa.RecordBatch.from_pydict(columns) if columns else batch.select([])


def _path_of(column: pa.StructArray) -> pa.Array:
    """Return the paths of a column of pictures as a column of structs."""
    if column.type.get_field_index("path") < 0:
        return pa.array([{"path": None}] * len(column))
    paths = pc.struct_field(column, "path")
    return pa.StructArray.from_arrays([paths], ["path"], mask=column.is_null())


def _as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with times and decimals as text: Python's own cannot hold all that Arrow's do.

    A time in a zone that nobody knows is told in UTC; one out of range is none.
    """
    for place, name in enumerate(batch.schema.names):
        column = batch.column(place)
        if (told := _column_as_text(column)) is not column:
            batch = batch.set_column(place, name, told)
    return batch


def _column_as_text(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_interval(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()).cast(pa.string())
    if not pa.types.is_temporal(kind) and not pa.types.is_decimal(kind):
        return column
    local = column.cast(pa.timestamp(kind.unit)) if pa.types.is_timestamp(kind) else column
    told = local.cast(pa.string())
    return pc.if_else(pc.starts_with(told, "<"), pa.scalar(None, pa.string()), told)


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of a batch as plain values; None for one whose text is not UTF-8."""
    try:
        yield from batch.to_pylist()
        return
    except UnicodeDecodeError:
        pass
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0]
        except UnicodeDecodeError:
            yield None


def _class_names(schema: pa.Schema) -> Mapping[str, list[str]]:
    """Return the names of classes that `datasets` keeps in the schema."""
    try:
        told = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in told.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
