"""CelebA: `list_attr_celeba.txt`, `identity_CelebA.txt`, `list_eval_partition.txt`, or as CSV.

The 40 attributes are other people's judgements of looks. Two describe an expression and are labels
(`Smiling`, `Mouth_Slightly_Open`); the others, `Male` and `Young` among them, are for audits only.
Source: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_csv, read_lines
from discreet.sources.problems import Origin, Problems
from discreet.sources.readers.folders import Files, first_of
from discreet.sources.records import Record

EXPRESSIONS = ("Smiling", "Mouth_Slightly_Open")
_FOLDERS = ("", "Anno/", "Eval/", "celeba/", "CelebA/", "CelebA/Anno/", "CelebA/Eval/")
_PICTURES = ("img_align_celeba", "img_align_celeba/img_align_celeba", "img_celeba", "img_align")
_COLUMNS = ("image_id",)
_VALUES = {"1": "yes", "-1": "no", "0": "no"}
_SPLITS = {"0": "train", "1": "validation", "2": "test"}


def _list(path: Path, stem: str) -> Path | None:
    return first_of(path, *(f"{at}{stem}.{end}" for at in _FOLDERS for end in ("txt", "csv")))


def _lists(path: Path) -> list[Path]:
    stems = ("list_attr_celeba", "identity_CelebA", "list_eval_partition")
    return [found for stem in stems if (found := _list(path, stem))]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    attributes = _list(folder.root, "list_attr_celeba")
    if attributes is None:
        return
    people = dict(_pairs(_list(folder.root, "identity_CelebA"), folder, problems))
    splits = dict(_pairs(_list(folder.root, "list_eval_partition"), folder, problems))
    under = (*_PICTURES, *(f"{at}/{name}" for at in ("Img", "celeba") for name in _PICTURES))
    files = Files(folder, problems, *under)
    for origin, name, told in _attributes(attributes, folder, problems):
        picture = files.find(name, origin)
        if picture is None:
            continue
        values = {key: _VALUES.get(value, "unknown") for key, value in told.items()}
        values = known(values, dict.fromkeys(values, ("yes", "no")), origin, problems)
        yield Record(
            kind="picture",
            media=(folder.medium(picture),),
            labels={key: value for key, value in values.items() if key in EXPRESSIONS},
            audit_labels={key: value for key, value in values.items() if key not in EXPRESSIONS},
            person=people.get(name),
            split=_SPLITS.get(splits.get(name, "")),
            origin=origin,
        )


def _attributes(
    path: Path, folder: Folder, problems: Problems
) -> Iterator[tuple[Origin, str, dict[str, str]]]:
    """Yield picture and attributes; the text form has a count in its first line."""
    if path.suffix == ".csv":
        for origin, row in read_csv(path, folder, problems, needed=_COLUMNS):
            yield origin, row.pop("image_id"), row
        return
    names: list[str] = []
    for origin, line in read_lines(path, folder, problems):
        fields = line.split()
        if origin.line == 2:
            names = fields
        elif names and fields:
            if len(fields) == len(names) + 1:
                yield origin, fields[0], dict(zip(names, fields[1:], strict=True))
            else:
                problems.add("row", origin, path=path)


def _pairs(path: Path | None, folder: Folder, problems: Problems) -> Iterator[tuple[str, str]]:
    """Yield picture and value of a list of two columns, with or without a header."""
    if path is None:
        return
    for origin, line in read_lines(path, folder, problems):
        fields = line.replace(",", " ").split()
        if len(fields) == 2:
            yield fields[0], fields[1]
        elif fields:
            problems.add("row", origin, path=path)


READER = Reader(
    name="celeba",
    kind="picture",
    looks_like="list_attr_celeba.txt, identity_CelebA.txt, list_eval_partition.txt, "
    "img_align_celeba/*.jpg",
    source="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    licence="non-commercial research; the pictures belong to their owners",
    can_read=lambda path: path.is_dir() and _list(path, "list_attr_celeba") is not None,
    read=_read,
    lists=_lists,
    columns={"list_attr_celeba.csv": _COLUMNS},
    vocabulary=dict.fromkeys(EXPRESSIONS, ("yes", "no")) | {"Male": ("yes", "no")},
    audit_labels=("Male",),
    says="Smiling, Mouth_Slightly_Open (audits only: the other 38)",
)
