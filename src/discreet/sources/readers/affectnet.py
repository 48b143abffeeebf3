"""AffectNet: `training.csv`, `validation.csv` with pictures, or `train_set/`, `val_set/` of .npy.

Expressions are numbers, 0 to 7 a word for what a face shows; 8 none, 9 uncertain, 10 no face. Of
what is no face, valence and arousal are -2: they are left out.
Source: http://mohammadmahoor.com/affectnet/
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from discreet.sources.columns import known
from discreet.sources.files import PICTURES, Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import csv_header, read_csv
from discreet.sources.problems import Origin, Problems
from discreet.sources.readers.folders import Files
from discreet.sources.records import Record
from discreet.sources.rows import lists_in

EXPRESSIONS = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
    "none",
    "uncertain",
    "no_face",
)
COLUMNS = ("subDirectory_filePath", "expression")
_SETS = {"train_set": "train", "val_set": "validation", "test_set": "test"}
_PICTURES = (
    "Manually_Annotated_Images",
    "Manually_Annotated",
    "Manually_Annotated/Manually_Annotated_Images",
    "images",
)
_MAX_NPY = 4096
_HEADER = re.compile(
    rb"\x93NUMPY..{2,4}?\{'descr': '(?P<kind>[<|](?:U[1-9]\d?|S[1-9]\d?|[fi][48]|[iu]1))', "
    rb"'fortran_order': False, 'shape': \((?:1,)?\), \} *\n",
    re.DOTALL,
)


def _lists(path: Path) -> list[Path]:
    found = lists_in(path, frozenset({".csv"}))
    return [file for file in found if set(COLUMNS) <= set(csv_header(file))]


def _sets(path: Path) -> list[Path]:
    inside = [path, *(path / name for name in _SETS)]
    return [s for s in inside if (s / "images").is_dir() and (s / "annotations").is_dir()]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    for listed in _lists(path):
        yield from _listed(listed, Folder(path), problems)
    for part in _sets(path):
        yield from _part(part, Folder(path), problems)


def _listed(path: Path, folder: Folder, problems: Problems) -> Iterator[Record]:
    files = Files(folder, problems, *_PICTURES)
    split = "validation" if "val" in path.stem else "train" if "train" in path.stem else None
    for origin, row in read_csv(path, folder, problems, needed=COLUMNS):
        picture = files.find(row[COLUMNS[0]], origin)
        if picture is not None:
            told = {name: row.get(name, "-2") for name in ("expression", "valence", "arousal")}
            yield _record(folder, picture, told, split, origin, problems)


def _part(part: Path, folder: Folder, problems: Problems) -> Iterator[Record]:
    for origin, picture in folder.walk(PICTURES, problems, under=part / "images"):
        told = {
            name: _number(folder, part / "annotations" / f"{picture.stem}_{short}.npy")
            for name, short in (("expression", "exp"), ("valence", "val"), ("arousal", "aro"))
        }
        yield _record(folder, picture, told, _SETS.get(part.name), origin, problems)


def _record(
    folder: Folder,
    picture: Path,
    told: dict[str, str],
    split: str | None,
    origin: Origin,
    problems: Problems,
) -> Record:
    number = told.pop("expression").strip()
    index = int(number) if number.isascii() and number.isdigit() else -1
    word = EXPRESSIONS[index] if 0 <= index < len(EXPRESSIONS) else "unknown"
    labels = known({"expression": word}, READER.vocabulary, origin, problems)
    measured = {name: value for name, value in told.items() if _is_measure(value)}
    return Record(
        kind="picture",
        media=(folder.medium(picture),),
        labels={**labels, **measured},
        split=split,
        origin=origin,
    )


def _is_measure(value: str) -> bool:
    try:
        return -1 <= float(value) <= 1
    except ValueError:
        return False


def _number(folder: Folder, path: Path) -> str:
    """Return the one value in a .npy file, or `""`; of its header, only what is expected counts."""
    if not folder.admits(path):
        return ""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_NPY)
    except OSError:
        return ""
    told = _HEADER.match(data)
    if told is None:
        return ""
    kind = np.dtype(told["kind"].decode())
    value = data[told.end() :]
    if kind.itemsize != len(value):
        return ""
    try:
        return str(np.frombuffer(value, kind)[0]).strip()
    except ValueError:  # no character has this number
        return ""


READER = Reader(
    name="affectnet",
    kind="picture",
    looks_like="training.csv with subDirectory_filePath and expression, "
    "Manually_Annotated_Images/; or train_set/images, train_set/annotations/*_exp.npy",
    source="http://mohammadmahoor.com/affectnet/",
    licence="on request; research only",
    can_read=lambda path: bool(_lists(path) or (path.is_dir() and _sets(path))),
    read=_read,
    lists=_lists,
    columns=dict.fromkeys(("training.csv", "validation.csv"), COLUMNS),
    vocabulary={"expression": EXPRESSIONS},
    says="expression, valence, arousal",
)
