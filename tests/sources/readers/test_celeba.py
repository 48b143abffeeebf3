"""CelebA: lists of attributes, identities and partitions beside a folder of pictures."""

from pathlib import Path

import pytest

from discreet.sources import find_reader

from ..small import found, picture, put, read

NAMES = ("000001.jpg", "000002.jpg", "000003.jpg")
ATTRIBUTES = (
    "3\nMale Mouth_Slightly_Open Smiling Young \n"
    "000001.jpg -1  1  1  1\n000002.jpg  1 -1 -1  1\n000003.jpg  1 -1  1 -1\n"
)
LISTS: dict[str, bytes | str] = {
    "Anno/list_attr_celeba.txt": ATTRIBUTES,
    "Anno/identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n",
    "Eval/list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files: dict[str, bytes | str] = {
        f"Img/img_align_celeba/{name}": picture(i) for i, name in enumerate(NAMES)
    }
    return put(tmp_path, files | LISTS)


def test_attributes_identities_and_partitions_are_joined(root: Path) -> None:
    assert find_reader(root).name == "celeba"
    records, problems = read(root)
    assert [record.person for record in records] == ["2880", "2937", "2880"]
    assert [record.split for record in records] == ["train", "validation", "test"]
    assert records[0].labels == {"Mouth_Slightly_Open": "yes", "Smiling": "yes"}
    assert records[0].audit_labels == {"Male": "no", "Young": "yes"}
    assert not problems.total


def test_the_form_of_kaggle_is_read_too(tmp_path: Path) -> None:
    header = "image_id,Male,Smiling,Young\n"
    put(
        tmp_path,
        {
            "list_attr_celeba.csv": header + "000001.jpg,-1,1,1\n000002.jpg,1,0,-1\n",
            "list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,2\n",
            "img_align_celeba/img_align_celeba/000001.jpg": picture(1),
            "img_align_celeba/img_align_celeba/000002.jpg": picture(2),
        },
    )
    records, problems = read(tmp_path)
    assert [record.split for record in records] == ["train", "test"]
    assert [record.audit_labels["Male"] for record in records] == ["no", "yes"]
    assert [record.person for record in records] == [None, None]
    assert not problems.total


def test_a_row_with_too_few_attributes_is_a_problem(root: Path) -> None:
    changed = ATTRIBUTES.replace("000002.jpg  1 -1 -1  1", "000002.jpg  1 -1 -1").replace(
        "000003.jpg  1", "000003.jpg  7"
    )
    put(root, {"Anno/list_attr_celeba.txt": changed})
    records, problems = read(root)
    assert [record.media[0].path.name for record in records] == ["000001.jpg", "000003.jpg"]
    assert "Male" not in records[1].audit_labels
    assert found(problems) == {"row": [4], "unknown_label": [5]}
