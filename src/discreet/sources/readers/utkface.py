"""UTKFace: labels in the file names, `[age]_[gender]_[race]_[date&time].jpg(.chip.jpg)`.

Three files of the set lack the race (`61_1_20170109150557335.jpg.chip.jpg`). Public loaders put in
different values for them; here they are problems. The years are kept as `age_years`, and `age` is
the band of FairFace that they fall in, so that sets can be compared.
Source: https://susanqq.github.io/UTKFace/
"""

import re
from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import PICTURES, Folder, first_names
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.readers.fairface import AGES
from discreet.sources.records import Record

MAX_AGE = 116
GENDERS = ("male", "female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_(\d{8,20})(?:\.jpg)?(?:\.chip)?\.jpe?g", re.I | re.A)
_LIKE = re.compile(r"\d{1,3}_\d+_(?:\d+_)?\d{8,20}\b.*", re.I | re.A)
_STARTS = (0, 3, 10, 20, 30, 40, 50, 60, 70)


def _can_read(path: Path) -> bool:
    names = first_names(path, PICTURES) if path.is_dir() else []
    return bool(names) and 2 * sum(bool(_LIKE.fullmatch(name)) for name in names) > len(names)


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for origin, file in folder.walk(PICTURES, problems):
        told = _NAME.fullmatch(file.name)
        years = int(told[1]) if told else MAX_AGE + 1
        if told is None or years > MAX_AGE:
            problems.add("name", origin, path=file)
            continue
        band = AGES[sum(start <= years for start in _STARTS) - 1]
        yield Record(
            kind="picture",
            media=(folder.medium(file),),
            labels={"age": band, "age_years": str(years)},
            audit_labels={"gender": GENDERS[int(told[2])], "race": RACES[int(told[3])]},
            origin=origin,
        )


READER = Reader(
    name="utkface",
    kind="picture",
    looks_like="26_1_2_20170116174525125.jpg.chip.jpg, in one folder or several",
    source="https://susanqq.github.io/UTKFace/",
    licence="non-commercial research; the pictures belong to their owners",
    can_read=_can_read,
    read=_read,
    vocabulary={"age": AGES, "gender": GENDERS, "race": RACES},
    audit_labels=("gender", "race"),
)
