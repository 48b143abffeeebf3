"""DeepfakeTIMIT: swaps of two qualities in a folder for each person."""

from pathlib import Path

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read


def test_quality_and_person_are_folders(tmp_path: Path) -> None:
    names = (
        "higher_quality/fadg0/sa1-video-fram1.avi",
        "lower_quality/fadg0/sa1-video-fram1.avi",
        "lower_quality/fadg0/sa1-video-fram1.wav",
        "lower_quality/alone.avi",
    )
    put(tmp_path, dict.fromkeys(names, PIXEL))
    assert find_reader(tmp_path).name == "df_timit"
    records, problems = read(tmp_path)
    assert [(record.labels["quality"], record.person) for record in records] == [
        ("higher", "fadg0"),
        ("lower", "fadg0"),
    ]
    assert {record.labels["truth"] for record in records} == {"fake"}
    assert found(problems) == {"name": [1]}
