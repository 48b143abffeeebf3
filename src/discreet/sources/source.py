"""A data set on disk, whatever its layout: find the reader, read the records.

    >>> for record in read_source(Path("FairFace")):  # doctest: +SKIP
    ...     print(record.labels["age"], record.audit_labels["race"])

Nothing is downloaded, moved or rewritten, no picture is loaded, and one record is in memory at a
time. What cannot be used is counted in `Problems`, with file and line.
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.errors import DataError
from discreet.sources.files import real_place
from discreet.sources.layouts import Reader, is_new
from discreet.sources.problems import Problems
from discreet.sources.readers import READERS
from discreet.sources.records import Record
from discreet.sources.unread import misfit_lists, tell_unread


def find_reader(path: Path, *, layout: str | None = None) -> Reader:
    """Return the reader of a data set.

    Args:
        path: A folder, or a list or table in one.
        layout: Its name in `READERS`; found by what lies on disk by default.

    Raises:
        DataError: if nothing is there, or no reader knows it.
        ValueError: if there is no layout of that name.
    """
    if layout is not None and layout not in READERS:
        raise ValueError(f"Expected a layout in {', '.join(READERS)}, got layout={layout!r}.")
    try:
        is_there = path.exists()
    except (OSError, ValueError):
        is_there = False
    if not is_there:
        raise DataError(f"Expected a data set at '{path}', found nothing. Check the path.")
    if layout is None:
        found = next((reader for reader in READERS.values() if reader.can_read(path)), None)
        if found is None:
            raise DataError(
                f"Expected a known layout at '{path.name}', found none. `discreet data list` shows "
                "what each looks like on disk."
            )
        return found
    if not READERS[layout].can_read(path):
        for file, fault in misfit_lists(path, READERS[layout]):
            raise DataError(
                f"Expected {fault} in '{file.name}', line 1. Restore its header; a spreadsheet "
                "may have saved it with another separator."
            )
        raise DataError(
            f"Expected the layout '{layout}' at '{path.name}', which looks like: "
            f"{READERS[layout].looks_like}. Name the folder that holds these."
        )
    return READERS[layout]


def read_source(
    path: Path, *, layout: str | None = None, problems: Problems | None = None
) -> Iterator[Record]:
    """Return the records of a data set, in its own order, each once.

    Args:
        path: A folder, or a list or table in one.
        layout: Its name in `READERS`; found by what lies on disk by default.
        problems: Gets what is wrong, and stops at it if problems are refused.

    Raises:
        DataError: if no reader knows it, or at the first problem if problems are refused.
    """
    reader = find_reader(path, layout=layout)
    found = Problems() if problems is None else problems
    return _once(_read(reader, real_place(path), found), found)


def _read(reader: Reader, path: Path, problems: Problems) -> Iterator[Record]:
    """Tell of lists that are passed over, then read; pictures alone may be of any layout."""
    others = READERS.values() if reader.name == "image_folder" else ()
    tell_unread(path, reader, others, problems)
    yield from reader.read(path, problems)


def _once(records: Iterator[Record], problems: Problems) -> Iterator[Record]:
    """Leave out a record that comes again; rows of a table differ by their place.

    Guarantee: whether a person's record is used does not depend on another person's, nor, of a
    conversation of nobody in particular, on any other. Such ones are told of, and kept.
    """
    seen: set[int] = set()
    words: set[int] = set()
    for record in records:
        if not record.turns and any(medium.row is not None for medium in record.media):
            yield record
            continue
        is_known = record.person is not None or not record.turns
        whose = b"" if record.person is None else b"\1" + record.person.encode()
        key = _key(record)
        if is_known and not is_new(whose + b"\0\0" + key, seen):
            problems.add("duplicate", record.origin)
            continue
        if record.turns and not is_new(key, words):
            problems.add("same_words", record.origin)
        yield record


def _key(record: Record) -> bytes:
    """Return what makes a record the same as another of its person: its files and its words."""
    parts = [medium.key for medium in record.media]
    parts += [f"{turn.role}\0{turn.text}".encode("utf-8", "surrogatepass") for turn in record.turns]
    return b"\0\0".join(parts)
