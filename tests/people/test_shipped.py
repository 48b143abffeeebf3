"""The shipped Parquet files hold what their specs and their card say."""

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

from discreet.data import SHIPPED_DIR, load_portraits, load_twins
from discreet.people import SPLITS, TWIN_KINDS, Shard, read_spec, shards_of
from discreet.types import Split

CARD = Path(__file__).parents[2] / "docs" / "cards" / "people.md"
PORTRAITS, TWINS = (shards_of(read_spec(name)) for name in ("portraits-2", "twins-2"))
SHARDS = [*PORTRAITS, *TWINS]


def _path(shard: Shard) -> Path:
    return SHIPPED_DIR / shard.file_name


def _rows(shards: list[Shard], columns: list[str] | None = None) -> list[dict[str, Any]]:
    return [row for s in shards for row in pq.read_table(_path(s), columns=columns).to_pylist()]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return _rows(PORTRAITS)


def test_files_are_many_portraits_and_few_megabytes(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 10_500
    assert len({row["identity_id"] for row in rows}) == 1_500
    assert len(_rows(TWINS, ["kind"])) == 2_400
    assert sum(path.stat().st_size for path in SHIPPED_DIR.iterdir()) <= 60e6


def test_nothing_else_lies_beside_them() -> None:
    manifests = {"portraits.manifest.json", "twins.manifest.json"}
    assert {p.name for p in SHIPPED_DIR.iterdir()} == {s.file_name for s in SHARDS} | manifests


@pytest.mark.parametrize("shard", SHARDS, ids=lambda shard: shard.file_name)
def test_rows_are_what_the_spec_says(shard: Shard) -> None:
    columns = [n for n in pq.read_schema(_path(shard)).names if not n.endswith("image")]
    rows = _rows([shard], columns)
    entries = [entry for identity in shard.identities[::40] for entry in shard.entries(identity)]
    each = len(rows) // len(shard.identities)
    drawn = [row for n, row in enumerate(rows) if n // each % 40 == 0]
    assert [{k: _plain(v) for k, v in entry.row().items()} for entry in entries] == drawn


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


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


def test_twins_are_of_held_out_people_and_every_kind_is_as_common() -> None:
    twins = load_twins()
    held_out = {portrait.identity_id for portrait in load_portraits("test")}
    assert {pair.identity_id for pair in twins} == held_out
    assert Counter(pair.kind for pair in twins) == dict.fromkeys(TWIN_KINDS, 300)
    assert all(pair.jpegs[0] != pair.jpegs[1] for pair in twins)


@pytest.mark.parametrize("split", SPLITS)
def test_portraits_are_read_from_all_shards(split: Split) -> None:
    people = sum(len(shard.identities) for shard in PORTRAITS if shard.split == split)
    assert len(load_portraits(split)) == 7 * people


def test_datasets_opens_the_files_as_pictures(tmp_path: Path) -> None:
    files = {name: str(SHIPPED_DIR / f"{name}.parquet") for name in ("validation", "twins")}
    loaded = {
        name: datasets.load_dataset("parquet", data_files=file, cache_dir=str(tmp_path))["train"]
        for name, file in files.items()
    }
    assert loaded["validation"][0]["image"].size == (128, 128)
    assert isinstance(loaded["twins"].features["second_image"], datasets.Image)


def test_card_names_the_hashes_of_the_files() -> None:
    card = CARD.read_text(encoding="utf-8")
    for shard in SHARDS:
        found = hashlib.sha256(_path(shard).read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(shard.file_name)}`.*{found}", card)
