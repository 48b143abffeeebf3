"""Sets as `datasets` leaves them on disk, read without it."""

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from discreet.sources import find_reader

from ..small import found, picture, put, read

FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["sad", "happy"]),
        "gender": datasets.Value("string"),
    }
)


@pytest.fixture
def made() -> datasets.Dataset:
    rows = [
        {"image": {"bytes": picture(n), "path": None}, "label": n % 2, "gender": "f"}
        for n in range(5)
    ]
    return datasets.Dataset.from_list(rows, features=FEATURES)


def test_what_was_saved_to_disk_is_read_as_datasets_reads_it(
    made: datasets.Dataset, tmp_path: Path
) -> None:
    both = datasets.DatasetDict({"train": made.select(range(3)), "test": made.select(range(3, 5))})
    both.save_to_disk(tmp_path / "set", num_shards={"train": 2, "test": 1})
    assert find_reader(tmp_path / "set").name == "hugging_face"
    records, problems = read(tmp_path / "set")
    assert [record.split for record in records] == ["test"] * 2 + ["train"] * 3
    oracle = datasets.load_from_disk(str(tmp_path / "set"))
    rows = [row for split in ("test", "train") for row in oracle[split]]
    names = FEATURES["label"].names
    assert [record.labels["label"] for record in records] == [names[row["label"]] for row in rows]
    for record, row in zip(records, rows, strict=True):
        assert record.media[0].image().tobytes() == row["image"].convert("RGB").tobytes()
    assert records[0].audit_labels == {"gender": "f"}
    assert not problems.total


def test_the_cache_is_read_without_its_working_copies(
    made: datasets.Dataset, tmp_path: Path
) -> None:
    made.save_to_disk(tmp_path / "saved")
    (data,) = (tmp_path / "saved").glob("*.arrow")
    put(
        tmp_path / "hash",
        {"beans-train.arrow": data.read_bytes(), "cache-1f2e.arrow": data.read_bytes()},
    )
    put(tmp_path / "hash", {"dataset_info.json": "{}"})
    records, _ = read(tmp_path / "hash")
    assert [record.split for record in records] == ["train"] * 5


def test_parquet_files_of_the_hub_are_read(made: datasets.Dataset, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    made.to_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet")
    records, _ = read(tmp_path)
    assert [record.labels["label"] for record in records] == ["sad", "happy", "sad", "happy", "sad"]
    assert {record.split for record in records} == {"validation"}


def test_a_snapshot_links_to_the_blobs_of_its_repository_and_nowhere_else(
    made: datasets.Dataset, tmp_path: Path
) -> None:
    repository = tmp_path / "datasets--x--y"
    (repository / "blobs").mkdir(parents=True)
    made.to_parquet(repository / "blobs" / "1f2e")
    made.to_parquet(tmp_path / "private")
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "train-00000-of-00001.parquet").symlink_to("../../blobs/1f2e")
    (snapshot / "validation-00000-of-00001.parquet").symlink_to(tmp_path / "private")
    records, problems = read(snapshot)
    assert [record.split for record in records] == ["train"] * 5
    assert found(problems) == {"outside": [None]}


def test_tables_may_name_pictures_beside_them(tmp_path: Path) -> None:
    put(tmp_path, {"1.jpg": picture(1)})
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    named = [{"bytes": None, "path": name} for name in ("1.jpg", "../x.jpg", "gone.jpg")]
    pq.write_table(pa.table({"image": pa.array(named, kind)}), tmp_path / "t.parquet")
    records, problems = read(tmp_path / "t.parquet")
    assert [record.media[0].name for record in records] == ["1.jpg"]
    assert found(problems) == {"outside": [2], "no_picture": [2, 3], "missing_file": [3]}
