"""Conversations with or without pictures: LLaVA, ShareGPT, messages, User-VLM, in any list.

JSON, JSON lines, CSV, TSV, Parquet or Arrow; one file, or a folder of them. Columns:
`conversations` (`from`, `value`), `messages` (`role`, `content`), `question` and `answer`, `prompt`
with `chosen` and `rejected`, or `image` and `text`. Pictures are named by `image` or `images`,
relative to the folder of the file, or the table holds them.
Source: https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md,
https://huggingface.co/docs/trl/dataset_formats, https://github.com/hamedR96/User-VLM
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from discreet.sources.columns import text_of, told_apart
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader, is_new
from discreet.sources.problems import Problems
from discreet.sources.readers.folders import Files
from discreet.sources.records import Medium, Record
from discreet.sources.rows import Row, first_values, lists_in, read_rows
from discreet.sources.turns import PICTURE_COLUMNS, ROLES, TEXT_COLUMNS, Talk, is_talk, talk_of

_LIKELY = ("images", "image", "pictures", "data")


def _lists(path: Path) -> list[Path]:
    return [file for file in lists_in(path) if _is_chat(file)]


def _is_chat(path: Path) -> bool:
    values = first_values(path)
    return is_talk(values) and "label" not in values


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(path):
        beside = listed.resolve().parent
        here = beside.relative_to(folder.root).as_posix() if folder.holds_path(beside) else ""
        files = Files(folder, problems, here, *_LIKELY)
        ids: set[int] = set()
        for row in read_rows(listed, folder, problems):
            if (name := text_of(row.values.get("id"))) and not is_new(name.encode(), ids):
                problems.add("duplicate_id", row.origin)
            talk = talk_of(row.values, num_cells=len(row.cells))
            if not isinstance(talk, Talk):
                about = f"known are {', '.join(ROLES)}" if talk == "role" else ""
                problems.add(talk, row.origin, about=about)
                continue
            pictures = _pictures(talk, row, files, folder, listed)
            if pictures is not None:
                yield _record(talk, row, (*row.cells, *pictures), problems)


def _pictures(
    talk: Talk, row: Row, files: Files, folder: Folder, listed: Path
) -> list[Medium] | None:
    """Return the pictures that a conversation names; None if one of them cannot be used."""
    found: list[Medium] = []
    for named in talk.pictures:
        if isinstance(named, bytes):
            found.append(replace(folder.medium(listed), data=named))
        elif path := files.find(named, row.origin):
            found.append(folder.medium(path))
        else:
            return None
    return found


def _record(talk: Talk, row: Row, media: tuple[Medium, ...], problems: Problems) -> Record:
    taken = TEXT_COLUMNS | set(PICTURE_COLUMNS)
    rest = {
        name: value
        for name, value in row.values.items()
        if name not in taken and not isinstance(value, list | dict)
    }
    columns = told_apart(rest, row.origin, problems)
    return Record(
        kind="conversation",
        media=media,
        labels=columns.labels,
        audit_labels=columns.audit_labels,
        person=columns.person,
        turns=talk.turns,
        split=columns.split,
        origin=row.origin,
    )


READER = Reader(
    name="chats",
    kind="conversation",
    looks_like="a .json, .jsonl, .csv, .tsv, .parquet or .arrow file with conversations, messages, "
    "or question and answer; or a folder of such files",
    source="https://github.com/haotian-liu/LLaVA/blob/main/docs/Finetune_Custom_Data.md",
    licence="yours to say",
    can_read=lambda path: bool(_lists(path)),
    read=_read,
    lists=_lists,
    says="columns by their names (audits only: race, gender, skin_tone, ...)",
)
