"""Any folder of pictures: flat, by class, or with a list beside it."""

from pathlib import Path

import datasets
import pytest
from PIL import Image

from discreet.sources import find_reader

from ..small import encoded, found, lines, picture, put, read, table


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    put(tmp_path, {"b.PNG": picture(1, kind="PNG"), "a.jpeg": picture(2), "notes.txt": "x"})
    assert find_reader(tmp_path).name == "image_folder"
    records, problems = read(tmp_path)
    assert [(r.media[0].name, dict(r.labels), r.split) for r in records] == [
        ("a.jpeg", {}, None),
        ("b.PNG", {}, None),
    ]
    assert not problems.total


def test_folders_are_classes_below_the_splits_as_hugging_face_reads_them(tmp_path: Path) -> None:
    names = ["train/happy/1.jpg", "train/sad/2.jpg", "test/happy/3.jpg"]
    put(tmp_path, {name: picture(i) for i, name in enumerate(names)})
    records, _ = read(tmp_path)
    ours = {(r.split, r.labels["label"]) for r in records}
    oracle = datasets.load_dataset("imagefolder", data_dir=str(tmp_path), cache_dir=tmp_path / "c")
    theirs = {
        (split, part.features["label"].int2str(row["label"]))
        for split, part in oracle.items()
        for row in part.cast_column("image", datasets.Image(decode=False))
    }
    assert ours == theirs == {("train", "happy"), ("train", "sad"), ("test", "happy")}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_list_beside_the_pictures_takes_the_place_of_folders(tmp_path: Path, kind: str) -> None:
    rows = [
        {"file_name": "x/1.jpg", "age": "35", "emotion": "Happy", "race": "A", "person": "p1"},
        {"file_name": "x/2.jpg", "age": "", "emotion": "Sad", "race": "B", "person": "p2"},
        {"file_name": "gone.jpg", "age": "8", "emotion": "Sad", "race": "B", "person": "p2"},
        {"file_name": "", "age": "8", "emotion": "Sad", "race": "B", "person": "p2"},
    ]
    listed = (
        lines(*rows)
        if kind == "jsonl"
        else table(tuple(rows[0]), *(tuple(row.values()) for row in rows))
    )
    put(tmp_path, {"train/x/1.jpg": picture(1), "train/x/2.jpg": picture(2)})
    put(tmp_path, {f"train/metadata.{kind}": listed})
    records, problems = read(tmp_path)
    assert [dict(record.labels) for record in records] == [
        {"age": "35", "expression": "happy"},
        {"expression": "sad"},
    ]
    assert [record.audit_labels for record in records] == [{"race": "A"}, {"race": "B"}]
    assert [record.person for record in records] == ["p1", "p2"]
    assert {record.split for record in records} == {"train"}
    assert set(problems.counts) == {"missing_label", "missing_file", "no_picture"}


def test_pictures_in_other_formats_are_said_to_be(tmp_path: Path) -> None:
    put(tmp_path, {"1.gif": encoded(Image.new("P", (40, 40)), "GIF"), "2.jpg": picture()})
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert found(problems) == {"format": [1]}
