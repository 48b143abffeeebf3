"""discreet's own portraits: Parquet with `image`, `identity_id`, `age_band`, `expression`.

The shipped synthetic people, or one's own in the same columns (docs/cards/people.md). All other
columns are for audits only, as in `discreet.data.Portrait`.
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import known, names_somebody, split_of, text_of
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.records import Record
from discreet.sources.rows import lists_in, read_rows
from discreet.sources.tables import PARQUET, column_names
from discreet.types import AGE_BANDS, EXPRESSIONS

COLUMNS = frozenset({"image", "identity_id", "age_band", "expression"})
_OF_THE_DRAWING = frozenset({"split", "spec", "seed", "shot"})


def _lists(path: Path) -> list[Path]:
    return [file for file in lists_in(path, PARQUET) if set(column_names(file)) >= COLUMNS]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(path):
        for row in read_rows(listed, folder, problems):
            texts = {name: text_of(value) or "" for name, value in row.values.items()}
            person = texts.pop("identity_id")
            if not row.cells or not person:
                problems.add("row" if row.cells else "no_picture", row.origin)
                continue
            labels = {name: texts.pop(name) for name in ("age_band", "expression")}
            rest = {k: text for k, text in texts.items() if text and not _is_passed(k)}
            yield Record(
                kind="picture",
                media=row.cells,
                labels=known(labels, READER.vocabulary, row.origin, problems),
                audit_labels=rest,
                person=person,
                split=split_of(texts.get("split"), row.origin, problems),
                origin=row.origin,
            )


def _is_passed(column: str) -> bool:
    return column in _OF_THE_DRAWING or names_somebody(column)


READER = Reader(
    name="portraits",
    kind="picture",
    looks_like="a .parquet file with image, identity_id, age_band and expression",
    source="docs/cards/people.md",
    licence="the shipped people: CC0, by this project; your own: yours to say",
    can_read=lambda path: bool(_lists(path)),
    read=_read,
    lists=_lists,
    vocabulary={"age_band": AGE_BANDS, "expression": EXPRESSIONS},
    says="age_band, expression (audits only: all other columns)",
)
