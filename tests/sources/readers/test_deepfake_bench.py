"""DeepfakeBench: one JSON file with the frames of every video."""

import json
from pathlib import Path
from typing import Any

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read


def bench(video: Any) -> str:
    return json.dumps({"FaceForensics++": {"FF-DF": {"test": {"c23": {"033_097": video}}}}})


def test_frames_are_found_below_rgb_with_either_slash(tmp_path: Path) -> None:
    frames = [
        f"FF\\manipulated_sequences\\Deepfakes\\c23\\frames\\033_097\\{n:03}.png" for n in (0, 1)
    ]
    told = {
        "Set": {
            "FF-real": {"train": {"c23": {"033": {"label": "FF-real", "frames": [frames[0]]}}}},
            "FF-DF": {"test": {"c23": {"033_097": {"label": "FF-DF", "frames": frames}}}},
            "Celeb-real": {"val": {"id0": {"label": "Celeb-real", "frames": [frames[1]]}}},
        }
    }
    put(tmp_path, {f"rgb/{name}".replace("\\", "/"): PIXEL for name in frames})
    put(tmp_path, {"dataset_json/FF.json": "\ufeff" + json.dumps(told)})
    assert find_reader(tmp_path).name == "deepfake_bench"
    records, problems = read(tmp_path)
    assert [len(record.media) for record in records] == [1, 2, 1]
    assert [dict(record.labels) for record in records] == [
        {"truth": "real", "method": "FF-real", "compression": "c23"},
        {"truth": "fake", "method": "FF-DF", "compression": "c23"},
        {"truth": "real", "method": "Celeb-real"},
    ]
    assert [record.split for record in records] == ["train", "test", "validation"]
    assert not problems.total


def test_videos_without_label_or_frames_are_problems(tmp_path: Path) -> None:
    for video in ({"label": 1, "frames": []}, {"frames": "x"}, {"label": "FF-DF", "frames": [1]}):
        put(tmp_path, {"a.json": bench(video)})
        assert found(read(tmp_path)[1]) == {"json": [1]}
    put(tmp_path, {"a.json": bench({"label": "FF-DF", "frames": ["gone.png", "../x.png"]})})
    assert set(found(read(tmp_path)[1])) == {"missing_file", "outside", "no_picture"}
    put(tmp_path, {"a.json": bench({"label": "FF-DF", "frames": []})[:-3]})
    assert found(read(tmp_path)[1]) == {"json": [None]}
