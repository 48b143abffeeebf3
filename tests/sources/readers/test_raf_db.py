"""RAF-DB: a list that is spelled wrongly, aligned pictures, a file of attributes for each."""

from pathlib import Path

import pytest

from discreet.sources import find_reader

from ..small import found, picture, put, read

LANDMARKS = "10.0\t20.0\n" * 5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put(
        tmp_path,
        {
            "EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntest_0001.jpg 4\n",
            "Image/aligned/train_00001_aligned.jpg": picture(1),
            "Image/aligned/test_0001_aligned.jpg": picture(2),
            "Annotation/manual/train_00001_manu_attri.txt": LANDMARKS + "1\n0\n2\n",
            "Annotation/manual/test_0001_manu_attri.txt": LANDMARKS + "0\n2\n4\n",
        },
    )


def test_expressions_and_attributes_are_words(root: Path) -> None:
    assert find_reader(root).name == "raf_db"
    records, problems = read(root)
    assert [record.labels for record in records] == [
        {"expression": "sadness", "age": "20-39"},
        {"expression": "happiness", "age": "70+"},
    ]
    assert [record.audit_labels for record in records] == [
        {"gender": "female", "race": "Caucasian"},
        {"gender": "male", "race": "Asian"},
    ]
    assert [record.split for record in records] == ["train", "test"]
    assert not problems.total


def test_whole_pictures_are_read_where_there_are_no_aligned_ones(root: Path) -> None:
    (root / "Image" / "aligned").rename(root / "Image" / "kept")
    put(
        root,
        {"Image/original/train_00001.jpg": picture(3), "Image/original/test_0001.jpg": picture(4)},
    )
    assert [record.media[0].name for record in read(root)[0]] == [
        "Image/original/train_00001.jpg",
        "Image/original/test_0001.jpg",
    ]


def test_bad_numbers_and_missing_attributes_are_problems(root: Path) -> None:
    put(root, {"EmoLabel/list_patition_label.txt": "train_00001.jpg 8\ntest_0001.jpg 4\nx\n"})
    put(root, {"Annotation/manual/test_0001_manu_attri.txt": LANDMARKS + "0\n9\n4\n"})
    (root / "Annotation/manual/train_00001_manu_attri.txt").unlink()
    records, problems = read(root)
    assert [record.labels for record in records] == [{}, {"expression": "happiness", "age": "70+"}]
    assert records[1].audit_labels == {"gender": "male"}
    assert found(problems) == {"missing_label": [1, 2], "unknown_label": [1], "row": [3]}
