"""MPIIGroupInteraction: clips, sometimes nested twice, and 14 labels."""

from pathlib import Path

import pytest

from discreet.sources import find_reader
from discreet.sources.readers.mpiigi import BEHAVIOURS

from ..small import PIXEL, found, put, read, table

LABELS = table(
    ("sample_id", *BEHAVIOURS),
    ("1", 1, *([0] * 13)),
    ("00002", *(["0.0"] * 13), "nan"),
)


@pytest.mark.parametrize("nested", ["", "clips_train/"])
def test_clips_may_be_nested_twice(tmp_path: Path, nested: str) -> None:
    base = f"clips_train/{nested}"
    names = [f"{base}00001-video.mp4", f"{base}00001-video2.mp4", f"{base}00002-video.mp4"]
    put(tmp_path, dict.fromkeys([*names, f"{base}notes.mp4", f"{base}00003-video.mp4"], PIXEL))
    put(tmp_path, {"labels_train.csv": LABELS})
    assert find_reader(tmp_path).name == "mpiigi"
    records, problems = read(tmp_path)
    told = [(record.labels["view"], record.labels.get("Settle")) for record in records]
    assert told == [("front", "yes"), ("side 2", "yes"), ("front", "no"), ("front", None)]
    assert list(records[0].labels)[1:] == list(BEHAVIOURS)
    assert "Smearing hands" not in records[2].labels
    assert {record.split for record in records} == {"train"}
    assert found(problems) == {"missing_label": [3, 4], "name": [5]}


def test_clips_without_labels_are_records_too(tmp_path: Path) -> None:
    put(tmp_path, {"clips_test/00001-video.mp4": PIXEL})
    records, problems = read(tmp_path)
    assert [dict(record.labels) for record in records] == [{"view": "front"}]
    assert not problems.total
