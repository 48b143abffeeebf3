"""Portraits with their truth, from Parquet files: the shipped synthetic people or one's own.

Twins are pairs of portraits that differ in one attribute; only audits read them.

>>> people = load_portraits("validation")
>>> people[0].image.size
(128, 128)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from PIL.Image import Image

from discreet.data.images import open_image
from discreet.errors import DataError
from discreet.types import AGE_BANDS, EXPRESSIONS, AgeBand, Expression, Split

SHIPPED_DIR = Path(__file__).parent / "people"
REQUIRED_COLUMNS = ("image", "identity_id", "age_band", "expression")
TWIN_COLUMNS = ("first_image", "second_image", "kind", "first_value", "second_value", "identity_id")
_OF_THE_DRAWING = frozenset({"spec", "first_spec", "second_spec", "seed", "shot"})
_SHARD = re.compile(r"-([0-9]{5,})-of-([0-9]{5,})$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Portrait:
    """One picture of one person, with what is true of it."""

    jpeg: bytes = field(repr=False)
    identity_id: str = field(repr=False)
    age_band: AgeBand = field(repr=False)
    expression: Expression = field(repr=False)
    audit_labels: dict[str, str] = field(repr=False)
    """Labels that audits may read and nothing else may: ethnicity, skin tone, gender, ..."""

    @property
    def image(self) -> Image:
        """Decode the picture."""
        return open_image(self.jpeg)


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinPortraits:
    """Two pictures of one person, the same in everything but one attribute."""

    kind: str
    """Which: `age`, `ethnicity`, `hair`, ... (docs/cards/people.md)."""
    jpegs: tuple[bytes, bytes] = field(repr=False)
    values: tuple[str, str] = field(repr=False)
    """What the attribute is in each."""
    identity_id: str = field(repr=False)
    audit_labels: dict[str, str] = field(repr=False)
    """What else is true of the first."""

    @property
    def images(self) -> tuple[Image, Image]:
        """Decode both pictures."""
        first, second = self.jpegs
        return open_image(first), open_image(second)


def load_portraits(split: Split, *, path: Path | None = None) -> list[Portrait]:
    """Return the portraits of a split, in file order.

    Args:
        split: `train`, `validation` or `test`; people of one split are in no other.
        path: A Parquet file of one's own, with a column `split` or of one split only, or a folder
            with `train.parquet`, ... or shards of it, as `discreet people render` writes them; the
            shipped synthetic people by default.

    Raises:
        DataError: if a file is missing or damaged, lacks a column, or holds an unknown label.
    """
    if split not in get_args(Split):
        raise ValueError(f"Expected split in {get_args(Split)}, got split={split!r}.")
    rows = [
        row
        for file in _files(path or SHIPPED_DIR, split)
        for row in _rows(_read(file, REQUIRED_COLUMNS))
        if row.get("split", split) == split
    ]
    if not rows:
        raise DataError(f"Expected portraits in split '{split}', found none.")
    return [_portrait(row) for row in rows]


def load_twins(*, kind: str | None = None, path: Path | None = None) -> list[TwinPortraits]:
    """Return twins of people of the test split, in file order.

    Args:
        kind: Only those that differ in this attribute.
        path: A Parquet file, or a folder with `twins.parquet` or shards of it; the shipped ones by
            default.

    Raises:
        DataError: if a file is missing or damaged or lacks a column, or nobody has twins of a kind.
    """
    files = _files(path or SHIPPED_DIR, "twins")
    rows = [row for file in files for row in _rows(_read(file, TWIN_COLUMNS))]
    kinds = sorted({row["kind"] for row in rows})
    if kind is not None and kind not in kinds:
        raise DataError(f"Expected kind in {', '.join(kinds)}, got another.")
    return [_twins(row) for row in rows if kind in (None, row["kind"])]


def _files(path: Path, name: str) -> list[Path]:
    """Return the file itself, or what a folder has under a name: one file, or all shards of it."""
    if not path.is_dir():
        if path.exists() and not path.is_file():
            raise DataError(f"Expected a Parquet file or a folder at '{path.name}', got a device.")
        return [path]
    if (whole := path / f"{name}.parquet").exists():
        return [whole]
    shards = list(path.glob(f"{name}-*-of-*.parquet"))
    numbered = {_numbers_of(file, name): file for file in shards}
    whole_set = [(number, len(shards)) for number in range(len(shards))]
    if not shards or numbered.keys() != set(whole_set):
        raise DataError(
            f"Expected '{name}.parquet' or all shards of it in '{path.name}', numbered from 00000, "
            f"found {len(shards)} shards. Make them again with `discreet people render`."
        )
    return [numbered[numbers] for numbers in whole_set]


def _numbers_of(shard: Path, name: str) -> tuple[int, int] | None:
    """Return the number of a shard and the number of shards, if its file name says them."""
    match = _SHARD.fullmatch(shard.stem.removeprefix(name))
    return (int(match[1]), int(match[2])) if match else None


def _read(path: Path, required: Sequence[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name not in _OF_THE_DRAWING]
            missing = [name for name in required if name not in names]
            if not missing:
                return file.read(names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"Expected a Parquet file of portraits at '{path.name}', could not read it "
            f"({type(error).__name__}). Check the path, or make the file again; conversations are "
            "shared out first (`discreet data share`)."
        ) from error
    raise DataError(
        f"Expected the columns {', '.join(required)} in '{path.name}', missing: "
        f"{', '.join(missing)}. See docs/cards/people.md for the schema; conversations are "
        "shared out first (`discreet data share`)."
    )


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows as plain values; an unknown split would leave people out unsaid."""
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(
            "Expected UTF-8 in every text column, got other bytes. Write the file again."
        ) from error
    splits = get_args(Split)
    if odd := sum("split" in row and row["split"] not in splits for row in rows):
        raise DataError(
            f"Expected {', '.join(splits)} in the column 'split', got another value in {odd} of "
            f"{len(rows)} rows. Correct them, or leave the column out."
        )
    return rows


def _portrait(row: dict[str, Any]) -> Portrait:
    for name, allowed in (("age_band", AGE_BANDS), ("expression", EXPRESSIONS)):
        if row[name] not in allowed:
            raise DataError(f"Expected {name} in {allowed}, got another label.")
    if row["identity_id"] is None or row["identity_id"] != row["identity_id"]:  # or not a number
        raise DataError(
            "Expected an identity_id in every row, found a row without: pictures of one person "
            "must stay together. Fill the column."
        )
    known = {*REQUIRED_COLUMNS, "split"}
    return Portrait(
        jpeg=_jpeg(row, "image"),
        identity_id=str(row["identity_id"]),
        age_band=row["age_band"],
        expression=row["expression"],
        audit_labels={k: str(v) for k, v in row.items() if k not in known},
    )


def _twins(row: dict[str, Any]) -> TwinPortraits:
    known = {*TWIN_COLUMNS, "split"}
    return TwinPortraits(
        kind=row["kind"],
        jpegs=(_jpeg(row, "first_image"), _jpeg(row, "second_image")),
        values=(str(row["first_value"]), str(row["second_value"])),
        identity_id=str(row["identity_id"]),
        audit_labels={k: str(v) for k, v in row.items() if k not in known},
    )


def _jpeg(row: dict[str, Any], column: str) -> bytes:
    image = row[column]
    jpeg = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(jpeg, bytes):
        raise DataError(f"Expected bytes of a picture in the column '{column}', got none.")
    return jpeg
