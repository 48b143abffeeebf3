"""Pictures in tables: `save_to_disk`, the cache of `datasets`, Parquet files of the hub.

Arrow and Parquet are read with pyarrow: nothing is looked up on the hub, no loading script runs. A
class is given by its name. Conversations in such tables are read by `chats`.
Source: https://huggingface.co/docs/datasets/about_arrow
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import SPLITS, told_apart
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.readers.folders import Files
from discreet.sources.records import Record
from discreet.sources.rows import first_values, lists_in, read_rows
from discreet.sources.tables import ARROW, PARQUET, pictures_of
from discreet.sources.turns import is_talk


def _lists(path: Path) -> list[Path]:
    """Return the tables with pictures; `cache-*.arrow` are copies that `datasets` works on."""
    found = lists_in(path, ARROW | PARQUET)
    return [
        file
        for file in found
        if not file.name.startswith("cache-")
        and pictures_of(file)
        and not is_talk(first_values(file))
    ]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(path):
        files = Files(folder, problems)
        columns_of_pictures = pictures_of(listed)
        for row in read_rows(listed, folder, problems):
            named = [row.values.pop(name, None) for name in columns_of_pictures]
            media = list(row.cells)
            for paths in named:
                for name in paths if isinstance(paths, list) else []:
                    found = files.find(str(name), row.origin) if name else None
                    media += [folder.medium(found)] if found else []
            if not media:
                problems.add("no_picture", row.origin)
                continue
            columns = told_apart(row.values, row.origin, problems)
            yield Record(
                kind="picture",
                media=tuple(media),
                labels=columns.labels,
                audit_labels=columns.audit_labels,
                person=columns.person,
                split=columns.split or _split(listed),
                origin=row.origin,
            )


def _split(path: Path) -> str | None:
    """Return the split that a table's name or folder says (`beans-train.arrow`, `train/`)."""
    words = [path.parent.name, *path.stem.replace("_", "-").split("-")]
    return next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), None)


READER = Reader(
    name="hugging_face",
    kind="picture",
    looks_like="dataset_info.json with data-*.arrow, NAME-train.arrow in the cache, or "
    "train-*.parquet, with a column of pictures",
    source="https://huggingface.co/docs/datasets/about_arrow",
    licence="on the page of the set",
    can_read=lambda path: bool(_lists(path)),
    read=_read,
    lists=_lists,
    says="columns by their names (audits only: race, gender, skin_tone, ...)",
)
