"""UDIVA v0.5: two people talk in four tasks; five traits of each from a questionnaire.

`metadata_SPLIT/parts_SPLIT.csv` (test: `_unmasked`), `sessions_SPLIT.csv` with the columns `ID`,
`PART.1`, `PART.2`, and `TASK_recordings_SPLIT/SESSION/FC1_T.mp4` of the first, `FC2_T.mp4` of the
second. Sessions have six digits on disk and lose their zeros in a spreadsheet. Traits are taken by
the names of their columns: a public loader sorts the values and so gives one trait's value to
another.
Source: https://chalearnlap.cvc.uab.cat/dataset/41/description/
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_csv
from discreet.sources.problems import Origin, Problems
from discreet.sources.readers.folders import first_of
from discreet.sources.records import Record

TASKS = {"animals": "A", "ghost": "G", "lego": "L", "talk": "T"}
TRAITS = (
    "OPENMINDEDNESS_Z",
    "CONSCIENTIOUSNESS_Z",
    "EXTRAVERSION_Z",
    "AGREEABLENESS_Z",
    "NEGATIVEEMOTIONALITY_Z",
)
SPLITS = {"train": "train", "val": "validation", "test": "test"}
_AUDIT = ("GENDER", "AGE", "COUNTRY_OF_ORIGIN", "COUNTRY", "EDUCATION")


def _list(path: Path, what: str, split: str) -> Path | None:
    """Return a list of a split, unmasked before masked."""
    folders = [f"{top}{meta}" for top in ("", f"{split}/") for meta in ("metadata/", "")]
    names = [f"{what}_{split}_unmasked.csv", f"{what}_{split}.csv"]
    return first_of(
        path,
        *(f"{at}metadata_{split}/{name}" for at in folders for name in names),
        *(f"{at}{name}" for at in folders for name in names),
    )


def _lists(path: Path) -> list[Path]:
    found = (_list(path, what, split) for split in SPLITS for what in ("parts", "sessions"))
    return [file for file in found if file]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for split in SPLITS:
        parts = _list(folder.root, "parts", split)
        sessions = _list(folder.root, "sessions", split)
        if parts is None or sessions is None:
            continue
        people = {
            _number(row["ID"]): _labels(origin, row, problems)
            for origin, row in read_csv(parts, folder, problems, needed=("ID",))
        }
        needed = ("ID", "PART.1", "PART.2")
        for origin, row in read_csv(sessions, folder, problems, needed=needed):
            for place in (1, 2):
                person = _number(row[f"PART.{place}"])
                if person not in people:
                    problems.add("row", origin, about="a participant without a row", path=sessions)
                    continue
                session = row["ID"].strip().zfill(6)
                for task, video in _videos(folder, split, session, place, origin, problems):
                    yield Record(
                        kind="video",
                        media=(folder.medium(video, "video"),),
                        labels={"task": task, **people[person][0]},
                        audit_labels=people[person][1],
                        person=person,
                        split=SPLITS[split],
                        origin=origin,
                    )


def _labels(
    origin: Origin, row: dict[str, str], problems: Problems
) -> tuple[dict[str, str], dict[str, str]]:
    """Return traits and audit labels of a participant, each by the name of its column."""
    traits = {name.lower(): row[name] for name in TRAITS if name in row}
    audit = {name.lower(): row[name] for name in _AUDIT if name in row}
    return known(traits, {}, origin, problems), known(audit, {}, origin, problems)


def _number(text: str) -> str:
    """Return an id as a number without zeros before it, as a spreadsheet writes it."""
    return text.strip().lstrip("0") or "0"


def _videos(
    folder: Folder, split: str, session: str, place: int, origin: Origin, problems: Problems
) -> Iterator[tuple[str, Path]]:
    """Yield the videos of a participant in a session: of the tasks that are on this disk."""
    for task, letter in TASKS.items():
        part = f"{task}_recordings_{split}"
        at = first_of(folder.root, part, f"{split}/recordings/{part}", f"recordings/{part}")
        if at is None:
            continue
        name = f"{session}/FC{place}_{letter}.mp4"
        prefix = at.relative_to(folder.root).as_posix()
        video = folder.find(name, origin, problems, prefix=prefix)
        if video is not None:
            yield task, video


READER = Reader(
    name="udiva",
    kind="video",
    looks_like="metadata_train/parts_train.csv, sessions_train.csv, "
    "talk_recordings_train/055125/FC1_T.mp4",
    source="https://chalearnlap.cvc.uab.cat/dataset/41/description/",
    licence="on request; research, by the agreement of the set",
    can_read=lambda path: (
        path.is_dir()
        and any(_list(path, "sessions", split) and _list(path, "parts", split) for split in SPLITS)
    ),
    read=_read,
    lists=_lists,
    vocabulary={"task": tuple(TASKS)},
    says="task, five traits (audits only: gender, age, country, education)",
)
