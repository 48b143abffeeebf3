"""KoDF: real videos, and folders of methods."""

from pathlib import Path

import pytest

from discreet.sources import find_reader

from ..small import PIXEL, put, read


@pytest.mark.parametrize("inside", ["synthesized_videos/", ""])
@pytest.mark.parametrize("top", ["", "kodf_release/"])
def test_methods_say_whose_face_it_is(tmp_path: Path, inside: str, top: str) -> None:
    names = (
        f"{top}original_videos/id1/1.mp4",
        f"{top}{inside}dffs/id1/2.mp4",
        f"{top}{inside}fo/id2/3.mp4",
    )
    put(tmp_path, dict.fromkeys(names, PIXEL))
    assert find_reader(tmp_path).name == "kodf"
    records, problems = read(tmp_path)
    assert [(r.labels["truth"], r.labels["identity"], r.person) for r in records] == [
        ("real", "kept", "id1"),
        ("fake", "replaced", "id1"),
        ("fake", "kept", "id2"),
    ]
    assert not problems.total


def test_a_folder_of_that_name_alone_is_no_kodf(tmp_path: Path) -> None:
    put(tmp_path, {"fo/1.jpg": PIXEL})
    assert find_reader(tmp_path).name == "image_folder"
