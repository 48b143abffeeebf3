"""Rows of any list: CSV, TSV, JSON, JSON lines, Parquet and Arrow behind one function."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from discreet.errors import DataError
from discreet.sources.files import Folder
from discreet.sources.lists import csv_header, first_json_item, read_csv, read_json_items
from discreet.sources.problems import Origin, Problems
from discreet.sources.records import Medium
from discreet.sources.tables import ARROW, PARQUET, Table

JSON = frozenset({".json", ".jsonl", ".ndjson"})
DELIMITERS = {".csv": ",", ".tsv": "\t"}
LISTS = JSON | frozenset(DELIMITERS) | PARQUET | ARROW


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a list."""

    origin: Origin
    values: dict[str, object] = field(repr=False)
    cells: tuple[Medium, ...] = field(default=(), repr=False)
    """Pictures that the table holds itself."""


def read_rows(path: Path, folder: Folder, problems: Problems) -> Iterator[Row]:
    """Yield the rows of a list, whatever its format."""
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        for origin, fields in read_csv(path, folder, problems, delimiter=DELIMITERS[suffix]):
            yield Row(origin=origin, values=dict(fields))
    elif suffix in JSON:
        for origin, item in read_json_items(path, folder, problems):
            if isinstance(item, dict):
                yield Row(origin=origin, values=item)
            else:
                problems.add("json", origin, about="not an object", path=path)
    else:
        yield from _table_rows(path, folder, problems)


def _table_rows(path: Path, folder: Folder, problems: Problems) -> Iterator[Row]:
    name = folder.name_of(path)
    if not folder.admits(path):
        problems.add("outside", Origin(file=name), path=path)
        return
    try:
        table = Table(path)
        if len(set(table.names)) < len(table.names):
            problems.add("list", Origin(file=name), path=path)
            return
        held = [column for column in table.pictures if table.holds_bytes(column)]
        for number, values in table.rows():
            origin = Origin(file=name, line=number + 1)
            if values is None:
                problems.add("encoding", origin, path=path)
                continue
            cells = tuple(
                folder.medium(path, row=number, column=column, item=item)
                for column in held
                for item in range(len(values.pop(column)))
            )
            yield Row(origin=origin, values=values, cells=cells)
    except DataError:
        problems.add("table", Origin(file=name), path=path)


def first_values(path: Path) -> dict[str, object]:
    """Return the values of the first row, or of a CSV its header; none if there are none."""
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        return dict.fromkeys(csv_header(path, DELIMITERS[suffix]))
    if suffix in JSON:
        item = first_json_item(path)
        return item if isinstance(item, dict) else {}
    if suffix in PARQUET | ARROW:
        row = next(iter(read_rows(path, Folder(path), Problems(keep=0))), None)
        held = {medium.column or "": None for medium in row.cells} if row else {}
        return {**row.values, **held} if row else {}
    return {}


def lists_in(path: Path, suffixes: frozenset[str] = LISTS) -> list[Path]:
    """Return a list itself, or the lists of a folder and of the folders in it, sorted.

    Hidden files, the manifest and what `datasets` keeps beside its tables are passed over.
    """
    if not path.is_dir():
        return [path] if path.suffix.lower() in suffixes and path.is_file() else []
    found: list[Path] = []
    for folder in [path, *folders_in(path)]:
        with suppress(OSError), os.scandir(folder) as entries:
            found += sorted(
                Path(entry.path)
                for entry in entries
                if Path(entry.name).suffix.lower() in suffixes
                and not entry.name.startswith(".")
                and entry.name not in BESIDE
                and entry.is_file()
            )
    return found


BESIDE = frozenset({"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"})
"""What `datasets` writes beside tables."""
_FOLDERS = 64


def folders_in(path: Path) -> list[Path]:
    """Return the first folders in a folder, sorted; links are none."""
    with suppress(OSError), os.scandir(path) as entries:
        inside = [entry for entry in entries if not entry.name.startswith(".")]
        folders = [entry.path for entry in inside if entry.is_dir(follow_symlinks=False)]
        return [Path(folder) for folder in sorted(folders)[:_FOLDERS]]
    return []
