"""FairFace: `fairface_label_{train,val}.csv` and the folders `train/`, `val/`.

Columns `file,age,gender,race,service_test`. No person is named: a picture stands alone. The output
of FairFace's predictor (`face_name_align,race,...`) holds guesses and is not read as labels.
Source: https://github.com/joojs/fairface
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import csv_header, read_csv
from discreet.sources.problems import Problems
from discreet.sources.readers.folders import Files
from discreet.sources.records import Record

COLUMNS = ("file", "age", "gender", "race")
AGES = (
    "0-2",
    "3-9",
    "10-19",
    "20-29",
    "30-39",
    "40-49",
    "50-59",
    "60-69",
    "more than 70",
)
GENDERS = ("Male", "Female")
RACES = (
    "White",
    "Black",
    "Latino_Hispanic",
    "East Asian",
    "Southeast Asian",
    "Indian",
    "Middle Eastern",
)
LABELS: tuple[str, ...] = ("age", "service_test")
AUDIT_LABELS: tuple[str, ...] = ("gender", "race")
_SPLITS = {"train": "train", "val": "validation"}


def _lists(path: Path) -> list[Path]:
    found = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    return [file for file in found if file.suffix == ".csv" and csv_header(file)[:4] == COLUMNS]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for file in _lists(path):
        files = Files(folder, problems)
        for origin, row in read_csv(file, folder, problems, needed=COLUMNS):
            picture = files.find(row["file"], origin)
            if picture is None:
                continue
            labels = {name: row[name] for name in LABELS if name in row}
            audit_labels = {name: row[name] for name in AUDIT_LABELS}
            yield Record(
                kind="picture",
                media=(folder.medium(picture),),
                labels=known(labels, READER.vocabulary, origin, problems),
                audit_labels=known(audit_labels, READER.vocabulary, origin, problems),
                split=_SPLITS.get(row["file"].partition("/")[0]),
                origin=origin,
            )


READER = Reader(
    name="fairface",
    kind="picture",
    looks_like="fairface_label_train.csv, fairface_label_val.csv, train/*.jpg, val/*.jpg",
    source="https://github.com/joojs/fairface",
    licence="CC BY 4.0",
    can_read=lambda path: bool(_lists(path)),
    read=_read,
    lists=_lists,
    columns={"fairface_label_*.csv": COLUMNS},
    vocabulary={
        "age": AGES,
        "gender": GENDERS,
        "race": RACES,
        "service_test": ("True", "False"),
    },
    audit_labels=AUDIT_LABELS,
)
