"""The shipped Parquet files hold what their card says."""

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
from discreet.people import Assets, labels, rerender
from discreet.people.build import COLUMNS, SPLITS, spec_of
from discreet.people.sampling import identity_index, split_of
from discreet.people.spec import ADULT_CLOTHING, CLOTHING

CARD = Path(__file__).parents[2] / "docs" / "cards" / "people.md"
FORBIDDEN = ("bikini", "swim", "lingerie", "bra", "panties", "top", "dress", "sport", "teddy")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [row for name in SPLITS for row in pq.read_table(_path(name)).to_pylist()]


def _path(split: str) -> Path:
    return SHIPPED_DIR / f"{split}.parquet"


def test_files_are_many_portraits_and_few_megabytes(rows: list[dict[str, Any]]) -> None:
    assert len(rows) >= 3200
    assert len({row["identity_id"] for row in rows}) >= 440
    assert sum(_path(name).stat().st_size for name in SPLITS) <= 20e6


def test_columns_are_those_of_the_card() -> None:
    for name in SPLITS:
        assert tuple(pq.read_schema(_path(name)).names) == COLUMNS


def test_no_identity_is_in_two_splits(rows: list[dict[str, Any]]) -> None:
    assert len({(row["identity_id"], row["split"]) for row in rows}) == len(
        {row["identity_id"] for row in rows}
    )


def test_split_is_the_one_that_follows_from_the_seed(rows: list[dict[str, Any]]) -> None:
    splits = split_of(0, len({row["identity_id"] for row in rows}))
    assert all(row["split"] == splits[identity_index(row["identity_id"])] for row in rows)


@pytest.mark.parametrize("column", ["age_band", "gender_presentation", "ethnicity", "expression"])
def test_labels_are_balanced_in_every_split(column: str, rows: list[dict[str, Any]]) -> None:
    for name in SPLITS:
        counts = Counter(row[column] for row in rows if row["split"] == name).values()
        assert max(counts) <= 1.1 * min(counts)


def test_every_label_follows_from_seed_identity_and_shot(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        truth = labels(spec_of(row))
        assert {name: row[name] for name in truth} == truth


def test_clothing_is_everyday_and_modest(rows: list[dict[str, Any]]) -> None:
    worn = {row["clothing"] for row in rows}
    assert worn <= set(CLOTHING)
    assert not [name for name in CLOTHING.values() if any(word in name for word in FORBIDDEN)]
    children = {row["clothing"] for row in rows if row["age_band"] == "child"}
    assert not children & ADULT_CLOTHING


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


@pytest.mark.people
def test_a_row_is_drawn_again_with_the_same_pixels(
    rows: list[dict[str, Any]], assets: Assets
) -> None:
    """The same driver gives equal pixels; another one may differ by a little."""
    for row in (rows[0], rows[1701], rows[-1]):
        shipped = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])), np.int16)
        again = np.asarray(rerender(row, assets), np.int16)
        assert np.abs(shipped - again).mean() < 3.0
