"""Records as portraits, the rows that `discreet train --data` reads.

A portrait needs an age band and an expression that the set itself says. Neither is guessed: a
record without them is left out. Bands that lie in two of ours (10-19, 60-69) are left out too.
"""

import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.data import Portrait
from discreet.errors import DataError
from discreet.sources.files import refuse_existing
from discreet.sources.pictures import look
from discreet.sources.problems import Problems
from discreet.sources.records import Record
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression, OwnerId, Split

_BANDS: dict[str, AgeBand] = {
    "0-2": "child",
    "0-3": "child",
    "3-9": "child",
    "20-29": "young_adult",
    "20-39": "young_adult",
    "30-39": "young_adult",
    "40-49": "middle_aged",
    "50-59": "middle_aged",
    "70+": "older_adult",
    "more than 70": "older_adult",
}
"""Bands of data sets that lie in one of ours."""
_STARTS: tuple[tuple[int, AgeBand | None], ...] = (
    (0, "child"),
    (13, None),
    (18, "young_adult"),
    (40, "middle_aged"),
    (65, "older_adult"),
)
_WORDS: dict[str, Expression] = {
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
    "surprise": "surprised",
    **{word: word for word in EXPRESSIONS},
}
_BATCH = 64
_ALL = OwnerId("all")
_SCHEMA = pa.schema(
    {
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "identity_id": pa.string(),
        "split": pa.string(),
        "age_band": pa.string(),
        "expression": pa.string(),
    }
)


def portrait_of(record: Record) -> Portrait | None:
    """Return a record as a portrait, its picture read; None if the set does not say enough.

    A record without a person counts as a person of its own, named by its file: two pictures of
    one person may then lie with two owners.

    Raises:
        DataError: if its picture cannot be read.
    """
    age_band, expression = _age_band(record), _expression(record)
    if record.kind != "picture" or age_band is None or expression is None:
        return None
    medium = record.media[0]
    place = medium.name if medium.row is None else f"{medium.name}#{medium.row}"
    return Portrait(
        jpeg=medium.read(),
        identity_id=record.person or place,
        age_band=age_band,
        expression=expression,
        audit_labels=dict(record.audit_labels),
    )


def may_be_portrait(record: Record) -> bool:
    """Return whether the set says enough of a record; its picture is not looked at."""
    is_known = _age_band(record) is not None and _expression(record) is not None
    return record.kind == "picture" and is_known


def _expression(record: Record) -> Expression | None:
    return _WORDS.get(record.labels.get("expression", ""))


def _age_band(record: Record) -> AgeBand | None:
    """Return the band that the labels say: in years, in a band of ours, or in one of theirs."""
    told = record.labels
    if (band := told.get("age_band", "")) in AGE_BANDS:
        return next(known for known in AGE_BANDS if known == band)
    years = told.get("age_years", told.get("age", ""))
    if years.isascii() and years.isdigit() and len(years) <= 3:
        return [band for start, band in _STARTS if start <= int(years)][-1]
    return _BANDS.get(told.get("age", ""))


def write_portraits(
    records: Iterable[Record], out: Path, *, problems: Problems | None = None
) -> int:
    """Write the portraits among the records as one Parquet file; return how many.

    The bytes of the pictures are copied into it, once each was opened. Audit labels stay where
    they are: training needs none.

    Args:
        records: Read once; few are in memory at a time.
        out: A file that is not there yet.
        problems: Gets pictures that cannot be used; they are left out.

    Raises:
        RunExists: if something is there.
        DataError: if no record can be a portrait.
    """
    refuse_existing(out)
    with _unfinished(out) as folder:
        rows = _write(((_ALL, record) for record in records), Path(folder), problems)
        (Path(folder) / f"{_ALL}.parquet").rename(out)
    return rows[_ALL]


def write_portrait_shards(
    shared: Iterable[tuple[OwnerId, Record]], out: Path, *, problems: Problems | None = None
) -> dict[OwnerId, int]:
    """Write a folder with a file of portraits for each owner who has any; return how many each has.

    Each file is what a node takes as its data: `owner-0.parquet`, ....

    Args:
        shared: From `partition`; read once.
        out: A folder that is not there yet.
        problems: Gets pictures that cannot be used; they are left out.

    Raises:
        RunExists: if something is there.
        DataError: if no record can be a portrait.
    """
    refuse_existing(out)
    with _unfinished(out) as folder:
        made = Path(folder) / "shards"
        made.mkdir()
        rows = _write(shared, made, problems)
        made.rename(out)
    return rows


def _unfinished(out: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a folder beside `out` that goes again."""
    out.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=".portraits.", dir=out.parent)


def _write(
    shared: Iterable[tuple[OwnerId, Record]], folder: Path, problems: Problems | None
) -> dict[OwnerId, int]:
    """Write a file for each owner who has a portrait, some pictures in memory for each."""
    found = Problems() if problems is None else problems
    rows: Counter[OwnerId] = Counter()
    waiting: dict[OwnerId, list[dict[str, object]]] = {}
    writers: dict[OwnerId, pq.ParquetWriter] = {}
    with ExitStack() as stack:
        for owner, record in shared:
            portrait = _usable(record, found)
            if portrait is None:
                continue
            if owner not in writers:
                file = pq.ParquetWriter(folder / f"{owner}.parquet", _SCHEMA)
                writers[owner], waiting[owner] = stack.enter_context(file), []
            rows[owner] += 1
            waiting[owner].append(_row(portrait, record))
            if len(waiting[owner]) == _BATCH:
                writers[owner].write_table(_table(waiting[owner]))
                waiting[owner].clear()
        for owner, left in waiting.items():
            writers[owner].write_table(_table(left))
    if not rows:
        raise DataError(
            "Expected records with an age band and an expression, found none. The labels are "
            "never guessed: add them to a metadata.csv beside the pictures."
        )
    return dict(rows)


def _table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _usable(record: Record, problems: Problems) -> Portrait | None:
    """Return a record as a portrait if its picture opens."""
    before = problems.counts["picture"]
    try:
        portrait = portrait_of(record)
    except DataError as error:
        problems.add("picture", record.origin, about=type(error).__name__)
        return None
    if portrait is not None:
        look(record.media[0], record.origin, problems)
    return portrait if problems.counts["picture"] == before else None


def _row(portrait: Portrait, record: Record) -> dict[str, object]:
    return {
        "image": {"bytes": portrait.jpeg, "path": None},
        "identity_id": portrait.identity_id,
        "split": record.split if record.split in get_args(Split) else "train",
        "age_band": portrait.age_band,
        "expression": portrait.expression,
    }
