"""FakeAVCeleb: the folder is in a column without a name, and has spaces and brackets."""

from pathlib import Path

import pytest

from discreet.sources import find_reader

from ..small import PIXEL, found, put, read

META = (
    "source,target1,target2,method,category,type,race,gender,path,\n"
    "id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,"
    "FakeAVCeleb/RealVideo-RealAudio/African/men/id00076\n"
    "id00166,id00500,-,faceswap-wav2lip,D,FakeVideo-FakeAudio,Asian (East),women,"
    "00010_id00500_wavtolip.mp4,FakeAVCeleb/FakeVideo-FakeAudio/Asian (East)/women/id00166\n"
    "id00166,id00500,-,wav2lip,D,FakeVideo-FakeAudio,Asian (East),women,"
    "00010_id00500_wavtolip.mp4,FakeAVCeleb/FakeVideo-FakeAudio/Asian (East)/women/id00166\n"
    "id00200,-,-,rtvc,B,RealVideo-FakeAudio,African,women,gone.mp4,"
    "FakeAVCeleb/RealVideo-FakeAudio/African/women/id00200\n"
)
VIDEOS = (
    "RealVideo-RealAudio/African/men/id00076/00109.mp4",
    "FakeVideo-FakeAudio/Asian (East)/women/id00166/00010_id00500_wavtolip.mp4",
)


@pytest.mark.parametrize("name", ["FakeAVCeleb", "FakeAVCeleb_v1.2", "renamed"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_the_set_may_have_any_name_and_lie_one_folder_deeper(
    tmp_path: Path, name: str, is_whole: bool
) -> None:
    root = tmp_path / name
    put(root, dict.fromkeys(VIDEOS, PIXEL))
    put(root, {"meta_data.csv": META})
    path = root if is_whole or name == "renamed" else tmp_path
    assert find_reader(path).name == "fake_av_celeb"
    records, problems = read(path)
    assert [record.person for record in records] == ["id00076", "id00166"]
    assert found(problems) == {"duplicate": [4], "missing_file": [5]}


def test_labels_say_what_was_done_to_face_and_voice(tmp_path: Path) -> None:
    put(tmp_path, dict.fromkeys(VIDEOS, PIXEL))
    put(tmp_path, {"meta_data.csv": META})
    real, fake = read(tmp_path)[0]
    assert real.labels == {
        "truth": "real",
        "type": "RealVideo-RealAudio",
        "method": "real",
        "identity": "kept",
    }
    assert (fake.labels["truth"], fake.labels["identity"]) == ("fake", "replaced")
    assert fake.audit_labels == {"race": "Asian (East)", "gender": "women"}


def test_rows_without_the_folder_are_problems(tmp_path: Path) -> None:
    """As pandas leaves them behind that reads ten values under nine names."""
    short = META.replace("path,\n", "path\n")
    put(tmp_path, {"meta_data.csv": short, "RealVideo-RealAudio/1.jpg": PIXEL})
    assert find_reader(tmp_path).name == "image_folder"
    put(tmp_path, {"meta_data.csv": META.replace(",FakeAVCeleb/", "\nFakeAVCeleb/", 1)})
    assert found(read(tmp_path)[1])["row"] == [2, 3]
