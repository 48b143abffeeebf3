"""Write who has what, and read it back: one index for all owners, or a file for each.

Rows hold labels, words and the names of files, not the pictures: these stay where they are. Rows
of an owner stand together. However large the set, some 100 MiB are in memory: rows go into 64 files
by a hash of their owner, on the disk of the result, and from there one file at a time.
"""

import base64
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.errors import DataError
from discreet.sources.files import refuse_existing
from discreet.sources.problems import Origin
from discreet.sources.records import Medium, Record, Turn
from discreet.types import OwnerId

_WORDS = pa.map_(pa.string(), pa.string())
_MEDIUM = {
    "role": pa.string(),
    "name": pa.string(),
    "row": pa.int64(),
    "column": pa.string(),
    "item": pa.int32(),
    "data": pa.binary(),
}
COLUMNS = {
    "owner": pa.string(),
    "kind": pa.string(),
    "person": pa.string(),
    "split": pa.string(),
    "labels": _WORDS,
    "audit_labels": _WORDS,
    "media": pa.list_(pa.struct(_MEDIUM)),
    "turns": pa.list_(pa.struct({"role": pa.string(), "text": pa.string()})),
    "file": pa.string(),
    "line": pa.int64(),
}
_ROOT = b"discreet.root"
NUM_OWNERS = b"discreet.num_owners"
"""Key of the number of owners in a file's metadata: who has nothing is one of them."""
_BUCKETS = 64
_BUCKET_BYTES = 2**24
_BATCH = 2048
_SMALL = 256
Row = dict[str, Any]
OnRow = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """What was written."""

    path: Path
    rows: dict[OwnerId, int]
    """Owner -> how many; owners without any are not in it."""


def write_index(
    shared: Iterable[tuple[OwnerId, Record]],
    out: Path,
    *,
    num_owners: int | None = None,
    on_row: OnRow | None = None,
) -> Shares:
    """Write one Parquet file with a column `owner`, the rows of each owner together.

    Args:
        shared: From `partition`; read once.
        out: A file that is not there yet.
        num_owners: How many it was shared out to. Say it: the file does not tell otherwise who
            has nothing, and how many owners train must not depend on what is in the set.
        on_row: Called for each row that is read.

    Raises:
        RunExists: if something is there.
    """
    with _grouped(shared, out, on_row) as (folder, root, groups):
        fresh = folder / "index.parquet"
        rows: Counter[OwnerId] = Counter()
        with pq.ParquetWriter(fresh, _schema(root, num_owners)) as writer:
            _write(writer, (line for _, lines in groups for line in lines), rows)
        os.replace(fresh, out)
    return Shares(path=out, rows=dict(rows))


def write_shards(
    shared: Iterable[tuple[OwnerId, Record]],
    out: Path,
    *,
    on_row: OnRow | None = None,
) -> Shares:
    """Write a folder with a Parquet file for each owner who has anything, `owner-0.parquet`, ....

    Args:
        shared: From `partition`; read once.
        out: A folder that is not there yet.
        on_row: Called for each row that is read.

    Raises:
        RunExists: if something is there.
    """
    with _grouped(shared, out, on_row) as (folder, root, groups):
        fresh = folder / "shards"
        fresh.mkdir()
        rows: Counter[OwnerId] = Counter()
        for owner, lines in groups:
            with pq.ParquetWriter(fresh / f"{owner}.parquet", _schema(root, 1)) as writer:
                _write(writer, lines, rows)
        shutil.move(fresh, out)
    return Shares(path=out, rows=dict(rows))


def read_shares(
    path: Path, *, owner: OwnerId | None = None, root: Path | None = None
) -> Iterator[tuple[OwnerId, Record]]:
    """Yield owner and record of an index or a shard, in file order.

    Args:
        path: A file that `write_index` or `write_shards` wrote.
        owner: Only theirs; others are not read from the disk.
        root: Folder of the data set, if it lies elsewhere now.

    Raises:
        DataError: if it is no such file, or if it names a file outside the data set.
    """
    try:
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != list(COLUMNS):
                raise DataError(
                    f"Expected shares in '{path.name}', got other columns. Write it with "
                    "`discreet data share`."
                )
            told = (file.schema_arrow.metadata or {}).get(_ROOT, b"").decode()
            groups = [i for i in range(file.num_row_groups) if _may_hold(file, i, owner)]
            for batch in file.iter_batches(_BATCH, row_groups=groups):
                for row in batch.to_pylist():
                    if owner in (None, row["owner"]):
                        yield OwnerId(row["owner"]), _record(row, root or Path(told))
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"Expected shares in '{path.name}', could not read it ({type(error).__name__}). Share "
            "the set out again."
        ) from error


@contextmanager
def _grouped(
    shared: Iterable[tuple[OwnerId, Record]], out: Path, on_row: OnRow | None
) -> Iterator[tuple[Path, str, Iterator[tuple[OwnerId, Iterable[bytes]]]]]:
    """Yield a folder beside `out` that goes again, the set's root, and the rows of each owner."""
    refuse_existing(out)
    with tempfile.TemporaryDirectory(prefix=".shares.", dir=_parent(out)) as folder:
        yield Path(folder), *_by_owner(shared, Path(folder), on_row)


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _schema(root: str, num_owners: int | None) -> pa.Schema:
    metadata = {_ROOT: root.encode()}
    if num_owners is not None:
        metadata[NUM_OWNERS] = str(num_owners).encode()
    return pa.schema(list(COLUMNS.items()), metadata=metadata)


def _write(writer: pq.ParquetWriter, lines: Iterable[bytes], rows: Counter[OwnerId]) -> None:
    """Write rows in groups; a group of some size ends with its owner, so that others skip it."""
    batch: list[Row] = []
    for line in lines:
        row = _row(line)
        ends = len(batch) >= _SMALL and row["owner"] != batch[-1]["owner"]
        if ends or len(batch) == _BATCH:
            writer.write_table(pa.Table.from_pylist(batch, schema=writer.schema))
            batch.clear()
        rows[row["owner"]] += 1
        batch.append(row)
    if batch:
        writer.write_table(pa.Table.from_pylist(batch, schema=writer.schema))


def _by_owner(
    shared: Iterable[tuple[OwnerId, Record]], folder: Path, on_row: OnRow | None
) -> tuple[str, Iterator[tuple[OwnerId, Iterable[bytes]]]]:
    """Return the set's folder, and the lines of each owner; all rows are on disk by then."""
    root = ""

    def lines() -> Iterator[tuple[OwnerId, bytes]]:
        nonlocal root
        for owner, record in shared:
            if not root and record.media:
                root = str(record.media[0].root)
            if on_row is not None:
                on_row()
            yield owner, _line(owner, record)

    buckets = _spill(lines(), folder, 0)
    return root, (group for bucket in buckets for group in bucket.groups())


@dataclass(frozen=True, slots=True)
class _Bucket:
    """A file with the rows of some owners."""

    path: Path
    level: int
    single: OwnerId | None
    """The owner, if there is one only."""

    def groups(self) -> Iterator[tuple[OwnerId, Iterable[bytes]]]:
        """Yield each owner with their lines, in the order they came in."""
        if self.single is not None:
            with self.path.open("rb") as file:
                yield self.single, file
        elif self.path.stat().st_size <= _BUCKET_BYTES:
            by_owner: dict[OwnerId, list[bytes]] = {}
            for owner, line in _owned(self.path):
                by_owner.setdefault(owner, []).append(line)
            yield from by_owner.items()
        else:
            folder = self.path.with_suffix(".split")
            folder.mkdir()
            for bucket in _spill(_owned(self.path), folder, self.level + 1):
                yield from bucket.groups()
        self.path.unlink()


def _spill(lines: Iterable[tuple[OwnerId, bytes]], folder: Path, level: int) -> list[_Bucket]:
    """Write lines into files by a hash of their owner; another hash at each level."""
    paths = [folder / f"{number}.jsonl" for number in range(_BUCKETS)]
    owners: list[set[OwnerId]] = [set() for _ in paths]
    number_of: dict[OwnerId, int] = {}
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for owner, line in lines:
            if owner not in number_of:
                digest = hashlib.blake2b(f"{level}/{owner}".encode(), digest_size=8).digest()
                number_of[owner] = int.from_bytes(digest) % _BUCKETS
            number = number_of[owner]
            files[number].write(line)
            if len(owners[number]) < 2:
                owners[number].add(owner)
    return [
        _Bucket(path, level, next(iter(held)) if len(held) == 1 else None)
        for path, held in zip(paths, owners, strict=True)
        if held
    ]


def _owned(path: Path) -> Iterator[tuple[OwnerId, bytes]]:
    with path.open("rb") as file:
        for line in file:
            yield OwnerId(json.loads(line[: line.index(b"\t")])), line


def _line(owner: OwnerId, record: Record) -> bytes:
    """Return a row as one line: the owner, a tab, the rest."""
    rest = [
        record.kind,
        record.person,
        record.split,
        dict(record.labels),
        dict(record.audit_labels),
        [_medium(medium) for medium in record.media],
        [[turn.role, turn.text] for turn in record.turns],
        record.origin.file,
        record.origin.line,
    ]
    return f"{json.dumps(owner)}\t{json.dumps(rest)}\n".encode()


def _medium(medium: Medium) -> list[object]:
    data = None if medium.data is None else base64.b64encode(medium.data).decode()
    return [medium.role, medium.name, medium.row, medium.column, medium.item, data]


def _row(line: bytes) -> Row:
    """Return a line as a row of the table."""
    owner, _, rest = line.partition(b"\t")
    row = dict(zip(COLUMNS, [json.loads(owner), *json.loads(rest)], strict=True))
    row["media"] = [dict(zip(_MEDIUM, medium, strict=True)) for medium in row["media"]]
    for medium in row["media"]:
        medium["data"] = base64.b64decode(medium["data"]) if medium["data"] else None
    row["turns"] = [{"role": role, "text": text} for role, text in row["turns"]]
    row["labels"] = list(row["labels"].items())
    row["audit_labels"] = list(row["audit_labels"].items())
    return row


def _record(row: Row, root: Path) -> Record:
    return Record(
        kind=row["kind"],
        media=tuple(
            Medium(
                role=medium["role"],
                path=_inside(root, medium["name"]),
                root=root,
                row=medium["row"],
                column=medium["column"],
                item=medium["item"],
                data=medium["data"],
            )
            for medium in row["media"]
        ),
        labels=dict(row["labels"]),
        audit_labels=dict(row["audit_labels"]),
        person=row["person"],
        turns=tuple(Turn(role=turn["role"], text=turn["text"]) for turn in row["turns"]),
        split=row["split"],
        origin=Origin(file=row["file"], line=row["line"]),
    )


def _inside(root: Path, name: str) -> Path:
    """Return where a file of the set lies; a table may have been written by anybody."""
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise DataError(
            "Expected names of files inside the data set, got one that leads out of it. Share the "
            "set out again."
        )
    return root / name


def _may_hold(file: pq.ParquetFile, group: int, owner: OwnerId | None) -> bool:
    """Return whether a row group can have rows of an owner, by its smallest and largest."""
    statistics = file.metadata.row_group(group).column(0).statistics
    if owner is None or statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.min <= owner <= statistics.max)
