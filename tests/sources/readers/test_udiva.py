"""UDIVA: traits stay with their names, sessions keep their zeros."""

from pathlib import Path

import pytest

from discreet.sources import find_reader
from discreet.sources.readers.udiva import TRAITS

from ..small import PIXEL, found, put, read, table

# In another order than the reader's, and with values whose order differs from both.
ORDER = tuple(reversed(TRAITS))
OF_7 = {"OPENMINDEDNESS_Z": 0.5, "CONSCIENTIOUSNESS_Z": -1.5, "EXTRAVERSION_Z": 2.0}
OF_7 |= {"AGREEABLENESS_Z": -0.25, "NEGATIVEEMOTIONALITY_Z": 1.0}
PARTS = table(
    ("ID", "GENDER", "AGE", "SESSION1", *ORDER),
    ("7", "F", "31", "1080", *(OF_7[name] for name in ORDER)),
    ("8", "M", "44", "1080", *(0.0 for _ in ORDER)),
)
SESSIONS = table(("ID", "PART.1", "PART.2", "LANGUAGE"), ("1080", "007", "8", "es"))


@pytest.fixture
def files() -> dict[str, bytes | str]:
    return {
        "metadata_train/parts_train.csv": PARTS,
        "metadata_train/sessions_train.csv": SESSIONS,
        "talk_recordings_train/001080/FC1_T.mp4": PIXEL,
        "talk_recordings_train/001080/FC2_T.mp4": PIXEL,
    }


def test_every_trait_keeps_its_own_value(tmp_path: Path, files: dict[str, bytes | str]) -> None:
    put(tmp_path, files)
    assert find_reader(tmp_path).name == "udiva"
    records, problems = read(tmp_path)
    assert [record.person for record in records] == ["7", "8"]
    told = dict(records[0].labels)
    assert told.pop("task") == "talk"
    assert {name.upper(): float(value) for name, value in told.items()} == OF_7
    assert records[0].audit_labels == {"gender": "F", "age": "31"}
    assert records[0].media[0].name == "talk_recordings_train/001080/FC1_T.mp4"
    assert not problems.total


def test_the_folders_of_the_download_are_read_too(
    tmp_path: Path, files: dict[str, bytes | str]
) -> None:
    moved = {
        name.replace("metadata_train/", "train/metadata/metadata_train/").replace(
            "talk_recordings", "train/recordings/talk_recordings"
        ): content
        for name, content in files.items()
    }
    put(tmp_path, moved)
    assert len(read(tmp_path)[0]) == 2


def test_unmasked_labels_of_the_test_part_come_before_masked_ones(tmp_path: Path) -> None:
    masked = table(("ID", *TRAITS), ("7", *([""] * 5)), ("8", *([""] * 5)))
    put(
        tmp_path,
        {
            "metadata_test/parts_test.csv": masked,
            "metadata_test/sessions_test.csv": SESSIONS,
            "lego_recordings_test/001080/FC1_L.mp4": PIXEL,
            "lego_recordings_test/001080/FC2_L.mp4": PIXEL,
        },
    )
    records, problems = read(tmp_path)
    assert [dict(record.labels) for record in records] == [{"task": "lego"}] * 2
    assert problems.counts["missing_label"] == 10
    put(tmp_path, {"metadata_test/parts_test_unmasked.csv": PARTS})
    assert len(read(tmp_path)[0][0].labels) == 6


def test_people_and_videos_that_are_missing_are_problems(
    tmp_path: Path, files: dict[str, bytes | str]
) -> None:
    put(tmp_path, files)
    more = table(("1081", "7", "9", "es"))
    put(tmp_path, {"metadata_train/sessions_train.csv": SESSIONS + more})
    records, problems = read(tmp_path)
    assert len(records) == 2
    assert found(problems) == {"missing_file": [3], "row": [3]}
