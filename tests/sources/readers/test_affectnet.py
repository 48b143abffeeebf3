"""AffectNet: lists of numbers, or folders with small array files."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from discreet.sources import find_reader
from discreet.sources.files import Folder
from discreet.sources.readers.affectnet import _number

from ..small import found, picture, put, read, table

HEADER = ("subDirectory_filePath", "face_x", "facial_landmarks", "expression", "valence", "arousal")


def test_the_lists_of_the_whole_set(tmp_path: Path) -> None:
    rows = (
        ("689/a.jpg", 1, "1;2", 1, 0.78, -0.1),
        ("689/b.jpg", 1, "1;2", 10, -2, -2),
        ("689/c.jpg", 1, "1;2", 8, "nan", 0.5),
        ("689/d.jpg", 1, "1;2", 11, 0, 0),
        ("689/gone.jpg", 1, "1;2", 1, 0, 0),
    )
    files: dict[str, bytes | str] = {
        f"Manually_Annotated_Images/689/{letter}.jpg": picture(i) for i, letter in enumerate("abcd")
    }
    put(tmp_path, files | {"training.csv": table(HEADER, *rows)})
    assert find_reader(tmp_path).name == "affectnet"
    records, problems = read(tmp_path)
    assert [record.labels for record in records] == [
        {"expression": "happiness", "valence": "0.78", "arousal": "-0.1"},
        {"expression": "no_face"},
        {"expression": "none", "arousal": "0.5"},
        {"valence": "0", "arousal": "0"},
    ]
    assert {record.split for record in records} == {"train"}
    assert found(problems) == {"unknown_label": [5], "missing_file": [6]}


def array(value: object) -> bytes:
    stream = BytesIO()
    np.save(stream, np.array(value))
    return stream.getvalue()


def test_the_folders_of_the_smaller_set(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "train_set/images/7.jpg": picture(7),
            "train_set/annotations/7_exp.npy": array("6"),
            "train_set/annotations/7_val.npy": array("-0.5"),
            "train_set/annotations/7_aro.npy": array(np.float64(0.25)),
            "val_set/images/8.jpg": picture(8),
            "val_set/annotations/other.npy": b"",
        },
    )
    assert find_reader(tmp_path).name == "affectnet"
    records, problems = read(tmp_path)
    assert records[0].labels == {"expression": "anger", "valence": "-0.5", "arousal": "0.25"}
    assert [record.split for record in records] == ["train", "validation"]
    assert records[1].labels == {}
    assert found(problems) == {"unknown_label": [1]}
    assert len(read(tmp_path / "train_set")[0]) == 1


@pytest.mark.parametrize("value", ["3", "-0.75", 5, 0.5, np.float32(0.25), np.int32(7)])
def test_a_number_is_read_as_numpy_reads_it(value: object, tmp_path: Path) -> None:
    path = tmp_path / "1_exp.npy"
    path.write_bytes(array(value))
    assert _number(Folder(tmp_path), path) == str(np.load(path).item())


def test_an_array_file_that_could_run_code_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "1_exp.npy"
    for content in (np.array([{"a": 1}], dtype=object), np.arange(4), np.array("x" * 2000)):
        np.save(path, content)
        assert _number(Folder(tmp_path), path) == ""
    path.write_bytes(
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n"
    )
    assert _number(Folder(tmp_path), path) == ""
