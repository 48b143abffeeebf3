"""Lists of a set that are not read although somebody meant them to be.

A list whose header is misspelt, or separated by another character, makes a set look like one of
pictures alone. Told are the columns expected and how many came, never what the line holds.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import header_fault
from discreet.sources.problems import Problems
from discreet.sources.rows import DELIMITERS, JSON, lists_in

_TEXTS = frozenset(DELIMITERS) | JSON


def tell_unread(path: Path, reader: Reader, others: Iterable[Reader], problems: Problems) -> None:
    """Count the lists of a folder that its reader passes over.

    Args:
        path: The folder; of a file nothing is told.
        reader: Who reads it.
        others: Whose lists are looked for too, and with them every list at the folder's root.
        problems: Gets them.
    """
    if not path.is_dir():
        return
    folder, read = Folder(path), {file.resolve() for file in reader.lists(path)}
    readers = [reader, *others]
    for file in lists_in(folder.root):
        if file.resolve() in read:
            continue
        if of := next((r for r in readers if columns_of(r, file) is not None), None):
            about = f"of {of.name}: expected {fault_of(file, columns_of(of, file) or ())}"
            problems.add("list", folder.origin(file, 1), about=about, path=file)
        elif len(readers) > 1 and file.parent == folder.root and file.suffix.lower() in _TEXTS:
            # A file beside one picture is called as the picture is, which may be a name.
            is_of_one = any(file.with_suffix(end).exists() for end in (".jpg", ".jpeg", ".png"))
            origin = folder.origin(folder.root if is_of_one else file)
            problems.add("unread_list", origin, path=file)


def misfit_lists(path: Path, reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yield lists that are called as a layout's own, and how their first lines differ."""
    for file in lists_in(path):
        needed = columns_of(reader, file)
        if needed is None and file == path and reader.columns:
            needed = next(iter(reader.columns.values()))
        if needed is not None:
            yield file, fault_of(file, needed)


def columns_of(reader: Reader, file: Path) -> tuple[str, ...] | None:
    """Return the columns that a layout's list of this name needs; None if it has none such."""
    found = (c for pattern, c in reader.columns.items() if fnmatch(file.name.lower(), pattern))
    return next(found, None)


def fault_of(file: Path, needed: tuple[str, ...]) -> str:
    """Return what the beginning of a list should hold, and how it differs."""
    if file.suffix.lower() in DELIMITERS:
        return header_fault(file, needed, DELIMITERS[file.suffix.lower()])
    return f"{', '.join(needed)} in its first row, got none"
