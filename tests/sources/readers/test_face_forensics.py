"""FaceForensics++: folders say the method, names say target and source."""

import json
from pathlib import Path

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read

VIDEOS = (
    "original_sequences/youtube/c23/videos/033.mp4",
    "original_sequences/actors/raw/videos/01__hugging_happy.mp4",
    "manipulated_sequences/Deepfakes/c23/videos/033_097.mp4",
    "manipulated_sequences/NeuralTextures/c40/videos/033_097.mp4",
    "manipulated_sequences/DeepFakeDetection/raw/videos/01_02__hugging_happy__YVGY8LOK.mp4",
)


def test_method_identity_and_compression_follow_from_the_path(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(VIDEOS, PIXEL))
    put(tmp_path, {"splits/test.json": json.dumps([["033", "097"]])})
    assert find_reader(tmp_path).name == "face_forensics"
    records, problems = read(tmp_path)
    told = {record.media[0].name: record for record in records}
    assert told[VIDEOS[0]].labels == {
        "truth": "real",
        "method": "none",
        "identity": "kept",
        "compression": "c23",
    }
    assert told[VIDEOS[2]].labels["identity"] == "replaced"
    assert told[VIDEOS[3]].labels["identity"] == "kept"
    assert {told[name].person for name in (VIDEOS[0], VIDEOS[2], VIDEOS[3])} == {"033"}
    assert {told[name].person for name in (VIDEOS[1], VIDEOS[4])} == {"actor-01"}
    assert [told[name].split for name in VIDEOS] == ["test", None, "test", "test", None]
    assert not problems.total


def test_names_in_another_form_are_problems(tmp_path: Path) -> None:
    names = ("manipulated_sequences/Deepfakes/c23/videos/033.mp4", "original_sequences/033.mp4")
    put(tmp_path, dict.fromkeys((*names, VIDEOS[0]), PIXEL))
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert found(problems) == {"name": [1, 1]}
