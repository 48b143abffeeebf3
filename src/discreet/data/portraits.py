"""Portraits with their truth, from Parquet files: the shipped synthetic people or one's own.

>>> people = load_portraits("validation")
>>> people[0].image.size
(128, 128)
"""

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


def load_portraits(split: Split, *, path: Path | None = None) -> list[Portrait]:
    """Return the portraits of a split, in file order.

    Args:
        split: `train`, `validation` or `test`; people of one split are in no other.
        path: A Parquet file of one's own, with a column `split` or of one split only; the shipped
            synthetic people by default.

    Raises:
        DataError: if the file is missing or damaged, lacks a column, or holds an unknown label.
    """
    if split not in get_args(Split):
        raise ValueError(f"Expected split in {get_args(Split)}, got split={split!r}.")
    table = _read(path or SHIPPED_DIR / f"{split}.parquet")
    rows = [row for row in _rows(table) if row.get("split", split) == split]
    if not rows:
        raise DataError(f"Expected portraits in split '{split}', found none.")
    return [_portrait(row) for row in rows]


def _read(path: Path) -> pa.Table:
    if path.exists() and not path.is_file():
        raise DataError(f"Expected one Parquet file at '{path.name}', got a folder or a device.")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"Expected a Parquet file of portraits at '{path.name}', could not read it "
            f"({type(error).__name__}). Check the path, or make the file again; conversations are "
            "shared out first (`discreet data share`)."
        ) from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table.column_names]
    if missing:
        raise DataError(
            f"Expected the columns {', '.join(REQUIRED_COLUMNS)} in '{path.name}', missing: "
            f"{', '.join(missing)}. See docs/cards/people.md for the schema; conversations are "
            "shared out first (`discreet data share`)."
        )
    return table


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
    image = row["image"]
    jpeg = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(jpeg, bytes):
        raise DataError("Expected bytes of a picture in the column 'image', got none.")
    for name, allowed in (("age_band", AGE_BANDS), ("expression", EXPRESSIONS)):
        if row[name] not in allowed:
            raise DataError(f"Expected {name} in {allowed}, got another label.")
    if row["identity_id"] is None or row["identity_id"] != row["identity_id"]:  # or not a number
        raise DataError(
            "Expected an identity_id in every row, found a row without: pictures of one person "
            "must stay together. Fill the column."
        )
    known = {*REQUIRED_COLUMNS, "split", "spec", "seed", "shot"}
    return Portrait(
        jpeg=jpeg,
        identity_id=str(row["identity_id"]),
        age_band=row["age_band"],
        expression=row["expression"],
        audit_labels={k: str(v) for k, v in row.items() if k not in known},
    )
