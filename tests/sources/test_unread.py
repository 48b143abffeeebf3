"""A list that is not read is told of, with the columns expected and never with what it holds."""

from pathlib import Path

import pytest

from discreet.errors import DataError
from discreet.sources import check_source, find_reader

from .small import found, lines, picture, put, read, table

NAMES = ("file", "age", "gender", "race", "service_test")
ROW = ("train/1.jpg", "3-9", "Male", "White", "True")


def fairface(root: Path, header: tuple[str, ...], separator: str = ",") -> Path:
    listed = table(header, ROW).replace(",", separator)
    return put(root, {"train/1.jpg": picture(1), "fairface_label_train.csv": listed})


@pytest.mark.parametrize(
    ("header", "separator", "told"),
    [
        (NAMES, ";", "got 5 separated by ';'"),
        (NAMES, "\t", "got 5 separated by tabs"),
        (("filename", "years", *NAMES[2:]), ",", "got 5, missing: file, age"),
        ((*NAMES[:2], "race", "gender", "service_test"), ",", "got 5 in another order"),
    ],
)
def test_a_list_of_a_known_layout_that_does_not_fit_is_told_of(
    tmp_path: Path, header: tuple[str, ...], separator: str, told: str
) -> None:
    root = fairface(tmp_path, header, separator)
    checked = check_source(root)
    assert (checked.layout, checked.problems) == ("image_folder", {"list": 1})
    assert str(checked.first_problems[0]).startswith(
        "fairface_label_train.csv, line 1: a list without the columns of its layout, or with two "
        "of one name (of fairface: expected the columns file, age, gender, race separated by ',', "
        f"{told})."
    )
    with pytest.raises(DataError, match="line 1") as refused:
        find_reader(root, layout="fairface")
    assert told in str(refused.value)
    assert "columns file, age, gender, race separated by ','" in str(refused.value)
    assert "'fairface_label_train.csv', line 1" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


def test_a_list_that_is_named_itself_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, {"faces.csv": table(NAMES, ROW).replace(",", ";")})
    with pytest.raises(DataError, match="got 5 separated by ';' in 'faces.csv', line 1"):
        find_reader(tmp_path / "faces.csv", layout="fairface")


def test_a_first_line_that_holds_a_row_is_not_repeated(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {"1.jpg": picture(), "metadata.csv": "grace.jpg,Grace\n", "labels.csv": "Grace;7\n"},
    )
    checked = check_source(root)
    assert checked.problems == {"list": 1, "unread_list": 1}
    assert "Grace" not in str([str(problem) for problem in checked.first_problems])


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "labels.json", "labels.jsonl"])
def test_any_list_beside_pictures_is_told_of(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"1.jpg": picture(), name: lines({"picture": "1.jpg", "years": 7})})
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert found(problems) == {"unread_list": [None]}
    assert problems.kept[0].file == name


def test_a_file_beside_one_picture_is_not_named(tmp_path: Path) -> None:
    put(tmp_path, {"grace.jpg": picture(), "grace.json": lines({"years": 7})})
    _, problems = read(tmp_path)
    assert found(problems) == {"unread_list": [None]}
    assert "grace" not in str(problems.kept[0])


def test_a_second_list_of_a_set_that_is_read_is_told_of(tmp_path: Path) -> None:
    fairface(tmp_path, NAMES)
    put(tmp_path, {"fairface_label_val.csv": table(NAMES).replace(",", ";"), "notes.csv": "a,b\n"})
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert found(problems) == {"list": [1]}
    assert problems.kept[0].file == "fairface_label_val.csv"


def test_what_is_read_and_what_is_a_manifest_is_not_told_of(tmp_path: Path) -> None:
    put(tmp_path / "a", {"1.jpg": picture(), "metadata.csv": table(("file_name",), ("1.jpg",))})
    put(tmp_path / "b", {"1.jpg": picture(), "manifest.toml": "x = 1", "manifest.sha256": "x"})
    put(tmp_path / "c", {"1.jpg": picture(), "dataset_infos.json": "{}"})
    assert not any(read(tmp_path / name)[1].total for name in "abc")


def test_a_celeba_list_in_other_columns_says_which_were_expected(tmp_path: Path) -> None:
    put(tmp_path, {"list_attr_celeba.csv": "image;Smiling\n1.jpg;1\n"})
    _, problems = read(tmp_path)
    assert "expected the columns image_id separated by ',', got 2 separated by ';'" in str(
        problems.kept[0]
    )
