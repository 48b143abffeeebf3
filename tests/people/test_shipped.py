"""The shipped Parquet files hold what their card says.

The first edition was drawn by an older program; the second one is checked against its scenes when
it is there.
"""

import hashlib
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from discreet.data import SHIPPED_DIR
from discreet.people import SPLITS

CARD = Path(__file__).parents[2] / "docs" / "cards" / "people.md"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [row for name in SPLITS for row in pq.read_table(_path(name)).to_pylist()]


def _path(split: str) -> Path:
    return SHIPPED_DIR / f"{split}.parquet"


def test_files_are_many_portraits_and_few_megabytes(rows: list[dict[str, Any]]) -> None:
    assert len(rows) >= 3200
    assert len({row["identity_id"] for row in rows}) >= 440
    assert sum(_path(name).stat().st_size for name in SPLITS) <= 20e6


def test_no_identity_is_in_two_splits(rows: list[dict[str, Any]]) -> None:
    assert len({(row["identity_id"], row["split"]) for row in rows}) == len(
        {row["identity_id"] for row in rows}
    )


@pytest.mark.parametrize("column", ["age_band", "gender_presentation", "ethnicity", "expression"])
def test_labels_are_balanced_in_every_split(column: str, rows: list[dict[str, Any]]) -> None:
    for name in SPLITS:
        counts = Counter(row[column] for row in rows if row["split"] == name).values()
        assert max(counts) <= 1.1 * min(counts)


def test_pictures_are_different_jpegs_of_128_pixels(rows: list[dict[str, Any]]) -> None:
    assert len({hashlib.sha256(row["image"]["bytes"]).digest() for row in rows}) == len(rows)
    for row in rows[::97]:
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (128, 128))


def test_no_picture_is_blank(rows: list[dict[str, Any]]) -> None:
    for row in rows[::29]:
        pixels = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
        assert pixels.std() > 15


def test_datasets_opens_the_files_as_pictures(tmp_path: Path) -> None:
    files = {name: str(_path(name)) for name in ("validation", "test")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    first = loaded["validation"][0]
    assert first["image"].size == (128, 128)
    assert isinstance(loaded["test"].features["image"], datasets.Image)


def test_card_names_the_hashes_of_the_files() -> None:
    card = CARD.read_text(encoding="utf-8")
    for name in SPLITS:
        found = hashlib.sha256(_path(name).read_bytes()).hexdigest()
        assert re.search(rf"{name}\.parquet.*{found}", card)
