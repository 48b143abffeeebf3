"""MPIIGroupInteraction, bodily behaviour: `clips_{train,val,test}/00001-video.mp4`, 14 labels.

An archive may unpack into a second folder of the same name. `-video` is the frontal view, `-video1`
and `-video2` are from the sides. Labels are in a CSV file whose header has the 14 names; its first
other column is the number of the clip, and its name says the split.
Source: https://multimediate-challenge.org/datasets/Dataset_BBSI/
"""

import re
from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import VIDEOS, Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import csv_header, read_csv
from discreet.sources.problems import Problems
from discreet.sources.records import Record
from discreet.sources.rows import lists_in

BEHAVIOURS = (
    "Settle",
    "Legs crossed",
    "Groom",
    "Hand-mouth",
    "Fold arms",
    "Leg movement",
    "Scratch",
    "Gesture",
    "Hand-face",
    "Adjusting clothing",
    "Fumble",
    "Shrug",
    "Stretching",
    "Smearing hands",
)
SPLITS = {"train": "train", "val": "validation", "test": "test"}
_NAME = re.compile(r"0*(\d+)-video([12]?)")
_YES_NO = {"0": "no", "0.0": "no", "1": "yes", "1.0": "yes"}


def _lists(path: Path) -> list[Path]:
    found = lists_in(path, frozenset({".csv"})) if path.is_dir() else []
    return [file for file in found if set(BEHAVIOURS) <= set(csv_header(file))]


def _clips(path: Path, split: str) -> Path:
    """Return the folder of a split, the inner one if it is there twice."""
    outer = path / f"clips_{split}"
    return outer / outer.name if (outer / outer.name).is_dir() else outer


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for split in SPLITS:
        clips = _clips(folder.root, split)
        if not clips.is_dir():
            continue
        told = _labels(folder, split, problems)
        for origin, video in folder.walk(VIDEOS, problems, under=clips):
            name = _NAME.fullmatch(video.stem)
            if name is None:
                problems.add("name", origin, path=video)
                continue
            if told and name[1] not in told:
                problems.add("missing_label", origin, about="a clip without a row", path=video)
            view = f"side {name[2]}" if name[2] else "front"
            yield Record(
                kind="video",
                media=(folder.medium(video, "video"),),
                labels={"view": view, **told.get(name[1], {})},
                split=SPLITS[split],
                origin=origin,
            )


def _labels(folder: Folder, split: str, problems: Problems) -> dict[str, dict[str, str]]:
    """Return the labels of each clip of a split, by its number without zeros."""
    told: dict[str, dict[str, str]] = {}
    for listed in _lists(folder.root):
        if split not in listed.stem.lower():
            continue
        for origin, row in read_csv(listed, folder, problems, needed=BEHAVIOURS):
            number = re.search(r"\d+", next((v for k, v in row.items() if k not in BEHAVIOURS), ""))
            if number is None:
                problems.add("row", origin, path=listed)
                continue
            values = {name: _YES_NO.get(row[name].strip(), row[name]) for name in BEHAVIOURS}
            told[number[0].lstrip("0") or "0"] = known(values, READER.vocabulary, origin, problems)
    return told


READER = Reader(
    name="mpiigi",
    kind="video",
    looks_like="clips_train/00001-video.mp4, clips_val/..., a .csv with the 14 behaviours",
    source="https://multimediate-challenge.org/datasets/Dataset_BBSI/",
    licence="on request; research, by the agreement of the set",
    can_read=lambda path: path.is_dir() and any(_clips(path, s).is_dir() for s in SPLITS),
    read=_read,
    lists=_lists,
    vocabulary=dict.fromkeys(BEHAVIOURS, ("yes", "no")),
)
