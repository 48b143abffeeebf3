"""FairFace: two CSV files and two folders of pictures."""

from pathlib import Path

import pytest

from discreet.sources import find_reader

from ..small import found, picture, put, read, table

HEADER = ("file", "age", "gender", "race", "service_test")
TRAIN = table(
    HEADER,
    ("train/1.jpg", "50-59", "Male", "East Asian", True),
    ("train/2.jpg", "more than 70", "Female", "Latino_Hispanic", False),
)
VAL = table(HEADER, ("val/1.jpg", "3-9", "Female", "Black", False))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    names = ("train/1.jpg", "train/2.jpg", "val/1.jpg")
    files: dict[str, bytes | str] = {name: picture(i) for i, name in enumerate(names)}
    return put(tmp_path, files | {"fairface_label_train.csv": TRAIN, "fairface_label_val.csv": VAL})


def test_labels_and_audit_labels_are_read_from_both_lists(root: Path) -> None:
    assert find_reader(root).name == "fairface"
    records, problems = read(root)
    assert [record.split for record in records] == ["train", "train", "validation"]
    first = records[0]
    assert first.labels == {"age": "50-59", "service_test": "True"}
    assert first.audit_labels == {"gender": "Male", "race": "East Asian"}
    assert (first.person, str(first.origin)) == (None, "fairface_label_train.csv, line 2")
    assert first.media[0].image().size == (48, 40)
    assert not problems.total


def test_one_list_can_be_read_alone(root: Path) -> None:
    records, _ = read(root / "fairface_label_val.csv")
    assert [record.labels["age"] for record in records] == ["3-9"]


def test_pictures_may_lie_in_the_folder_of_the_archive(root: Path) -> None:
    inner = root / "fairface-img-margin025-trainval"
    inner.mkdir()
    for part in ("train", "val"):
        (root / part).rename(inner / part)
    records, problems = read(root)
    assert len(records) == 3
    assert not problems.total


def test_the_folder_is_found_although_the_first_picture_is_missing(root: Path) -> None:
    inner = root / "data"
    inner.mkdir()
    for part in ("train", "val"):
        (root / part).rename(inner / part)
    (inner / "train" / "1.jpg").unlink()
    records, problems = read(root)
    assert [record.media[0].name for record in records] == ["data/train/2.jpg", "data/val/1.jpg"]
    assert found(problems) == {"missing_file": [2]}


def test_byte_order_marks_line_ends_and_case_do_not_matter(root: Path) -> None:
    listed = "\ufeff" + TRAIN.replace("\n", "\r\n").replace("1.jpg", "1.JPG")
    put(root, {"fairface_label_train.csv": listed})
    records, problems = read(root)
    assert len(records) == 3
    assert not problems.total


def test_bad_rows_are_reported_with_their_line_and_without_their_content(root: Path) -> None:
    listed = table(
        HEADER,
        ("train/1.jpg", "10-19", "Male", "White", True),
        ("train/1.jpg", "10-19", "Male", "White", True),
        ("train/gone.jpg", "10-19", "Male", "White", True),
        ("../secret.jpg", "10-19", "Male", "White", True),
        ("train/2.jpg", "19-Oct", "nan", "Martian", True),
        ("train/2.jpg", "10-19"),
    )
    put(root, {"fairface_label_train.csv": listed, "../secret.jpg": picture()})
    records, problems = read(root)
    assert found(problems) == {
        "duplicate": [3],
        "missing_file": [4],
        "outside": [5],
        "unknown_label": [6, 6],
        "missing_label": [6],
        "row": [7],
    }
    assert records[1].labels == {"service_test": "True"}
    said = " ".join(str(problem) for problem in problems.kept)
    assert not any(word in said for word in ("Martian", "Oct", "secret", "gone", "White"))


def test_guesses_of_the_predictor_are_not_read_as_labels(tmp_path: Path) -> None:
    header = ("face_name_align", "race", "race4", "gender", "age", "race_scores_fair")
    put(
        tmp_path,
        {"test_outputs.csv": table(header, ("1.jpg", "White", "White", "Male", "3-9", "[1]"))},
    )
    put(tmp_path, {"1.jpg": picture()})
    assert find_reader(tmp_path).name == "image_folder"
