"""Any folder of pictures: flat, a folder for each class, or with `metadata.csv`.

As Hugging Face's imagefolder reads it: a first level `train`, `validation`, `test` is the split,
the folder that a picture lies in is its `label`, and a `metadata.csv`, `metadata.jsonl` or
`metadata.parquet` with a column `file_name` takes the place of folder names.
Source: https://huggingface.co/docs/datasets/image_dataset
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import SPLITS, text_of, told_apart
from discreet.sources.files import OTHER_PICTURES, PICTURES, Folder, first_names
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.records import Record
from discreet.sources.rows import first_values, lists_in, read_rows

_NAMES = frozenset({"metadata.csv", "metadata.tsv", "metadata.jsonl", "metadata.parquet"})


def _lists(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    found = [file for file in lists_in(path) if file.name.lower() in _NAMES]
    return [file for file in found if "file_name" in first_values(file)]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    lists = _lists(folder.root)
    for listed in lists:
        yield from _listed(listed, folder, problems)
    if not lists:
        yield from _walked(folder, problems)


def _listed(path: Path, folder: Folder, problems: Problems) -> Iterator[Record]:
    """Yield what a metadata file lists; its names are relative to the folder it lies in."""
    prefix = path.parent.relative_to(folder.root).as_posix()
    for row in read_rows(path, folder, problems):
        name = text_of(row.values.pop("file_name", None))
        if not name:
            problems.add("no_picture", row.origin, path=path)
            continue
        picture = folder.find(name, row.origin, problems, prefix=prefix)
        if picture is None:
            continue
        columns = told_apart(row.values, row.origin, problems)
        yield Record(
            kind="picture",
            media=(folder.medium(picture),),
            labels=columns.labels,
            audit_labels=columns.audit_labels,
            person=columns.person,
            split=columns.split or _split(picture, folder),
            origin=row.origin,
        )


def _walked(folder: Folder, problems: Problems) -> Iterator[Record]:
    for origin, picture in folder.walk(PICTURES | OTHER_PICTURES, problems):
        if picture.suffix.lower() in OTHER_PICTURES:
            problems.add("format", origin, path=picture)
            continue
        split = _split(picture, folder)
        inside = picture.relative_to(folder.root).parts[:-1]
        classes = inside[1:] if split else inside
        yield Record(
            kind="picture",
            media=(folder.medium(picture),),
            labels={"label": classes[-1]} if classes else {},
            split=split,
            origin=origin,
        )


def _split(picture: Path, folder: Folder) -> str | None:
    first = picture.relative_to(folder.root).parts[0]
    return SPLITS.get(first.lower())


READER = Reader(
    name="image_folder",
    kind="picture",
    looks_like="pictures in a folder, in a folder for each class, or beside metadata.csv",
    source="https://huggingface.co/docs/datasets/image_dataset",
    licence="yours to say",
    can_read=lambda path: path.is_dir() and bool(first_names(path, PICTURES, limit=1)),
    read=_read,
    lists=_lists,
    columns=dict.fromkeys(sorted(_NAMES), ("file_name",)),
    may_be_names=("label",),
    says="columns by their names (audits only: race, gender, skin_tone, ...)",
)
