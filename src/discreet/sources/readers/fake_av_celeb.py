"""FakeAVCeleb: `meta_data.csv`, whose last column has no name and is the folder of the file.

`source,target1,target2,method,category,type,race,gender,path,` : `path` is a file name, the column
behind it `FakeAVCeleb/TYPE/RACE/GENDER/ID`. Folders have spaces and brackets (`Asian (East)`). The
set has rows that name one file with two methods: the second is a duplicate. There is no official
split. A face is `kept` with wav2lip and `replaced` where faceswap or fsgan took part.
Source: https://github.com/DASH-Lab/FakeAVCeleb
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import csv_header, read_csv
from discreet.sources.problems import Problems
from discreet.sources.readers.folders import Files, first_of
from discreet.sources.records import Record

COLUMNS = ("source", "method", "category", "type", "race", "gender", "path", "")
TYPES = (
    "RealVideo-RealAudio",
    "RealVideo-FakeAudio",
    "FakeVideo-RealAudio",
    "FakeVideo-FakeAudio",
)


def _lists(path: Path) -> list[Path]:
    at = ("", "FakeAVCeleb/", "FakeAVCeleb_v1.2/")
    found = first_of(path, *(f"{folder}meta_data.csv" for folder in at))
    return [found] if found and set(COLUMNS) <= set(csv_header(found)) else []


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(folder.root):
        below = listed.parent.relative_to(folder.root).as_posix()
        files = Files(folder, problems, below)
        for origin, row in read_csv(listed, folder, problems, needed=COLUMNS):
            # The first part of the folder is the set itself, whatever it is called on this disk.
            inside = row[""].replace("\\", "/").partition("/")[2]
            video = files.find(f"{inside}/{row['path']}" if inside else row["path"], origin)
            if video is None:
                continue
            swaps = any(word in row["method"] for word in ("faceswap", "fsgan"))
            labels = {
                "truth": "real" if row["type"] == TYPES[0] else "fake",
                "type": row["type"],
                "method": row["method"],
                "identity": "replaced" if swaps else "kept",
            }
            audit_labels = {name: row[name] for name in ("race", "gender")}
            yield Record(
                kind="video",
                media=(folder.medium(video, "video"),),
                labels=known(labels, READER.vocabulary, origin, problems),
                audit_labels=known(audit_labels, READER.vocabulary, origin, problems),
                person=row["source"].strip() or None,
                origin=origin,
            )


READER = Reader(
    name="fake_av_celeb",
    kind="video",
    looks_like="meta_data.csv, RealVideo-RealAudio/African/men/id00076/00109.mp4",
    source="https://github.com/DASH-Lab/FakeAVCeleb",
    licence="on request, by the form of the set; the code is MIT",
    can_read=lambda path: path.is_dir() and bool(_lists(path)),
    read=_read,
    lists=_lists,
    columns={"meta_data.csv": COLUMNS},
    vocabulary={
        "truth": ("real", "fake"),
        "type": TYPES,
        "identity": ("kept", "replaced"),
        "gender": ("men", "women"),
    },
    audit_labels=("race", "gender"),
)
