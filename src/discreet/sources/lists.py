"""Lists on disk as streams: lines, CSV, JSON lines and arrays. No bytes make them fail or hang.

What cannot be read is counted in `Problems` and passed over. At most one line, row or value is in
memory, and none of more than 16 MiB.
"""

import codecs
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from discreet.sources.files import Folder
from discreet.sources.problems import Origin, Problems

MAX_BYTES = 2**24
_CHUNK = 2**16
_DELIMITERS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'"}
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(path: Path, folder: Folder, problems: Problems) -> Iterator[tuple[Origin, str]]:
    """Yield the lines of a text, without line ends and byte order mark, blank ones too."""
    if not folder.admits(path):
        problems.add("outside", folder.origin(path), path=path)
        return
    try:
        with path.open("rb") as file:
            yield from _lines(file, path, folder, problems)
    except OSError as error:
        problems.add("unreadable", folder.origin(path), about=type(error).__name__, path=path)


def _lines(
    file: BinaryIO, path: Path, folder: Folder, problems: Problems
) -> Iterator[tuple[Origin, str]]:
    name, number = folder.name_of(path), 0
    while raw := file.readline(MAX_BYTES):
        number += 1
        origin = Origin(file=name, line=number)
        if number == 1:
            if raw.startswith(_WIDE):
                problems.add("encoding", origin, about="UTF-16")
                return
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) >= MAX_BYTES and not raw.endswith(b"\n"):
            problems.add("too_long", origin)
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(MAX_BYTES)
            continue
        try:
            yield origin, raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            problems.add("encoding", origin)


def read_csv(
    path: Path,
    folder: Folder,
    problems: Problems,
    *,
    needed: tuple[str, ...] = (),
    delimiter: str = ",",
) -> Iterator[tuple[Origin, dict[str, str]]]:
    """Yield the rows of a CSV file by the names in its header.

    A name may be empty: a header that ends in a comma has a last column without one. A row with
    more or fewer fields than the header is a problem and not guessed at.

    Args:
        path: The file.
        folder: Of the data set.
        problems: Gets what is wrong.
        needed: Columns without which nothing is read.
        delimiter: Between fields.
    """
    rows = _csv_rows(path, folder, problems, delimiter)
    origin, header = next(rows, (folder.origin(path), []))
    names = [name.strip() for name in header]
    if len(set(names)) < len(names) or not set(needed) <= set(names) or not any(names):
        about = f"expected {header_fault(path, needed, delimiter)}"
        problems.add("list", origin, about=about, path=path)
        return
    for origin, fields in rows:
        if len(fields) != len(names):
            problems.add("row", origin, path=path)
        else:
            yield origin, dict(zip(names, fields, strict=True))


def _csv_rows(
    path: Path, folder: Folder, problems: Problems, delimiter: str
) -> Iterator[tuple[Origin, list[str]]]:
    """Yield rows with the line that they begin in; a quoted field may hold line ends."""
    begins: list[Origin] = []

    def lines() -> Iterator[str]:
        for origin, line in read_lines(path, folder, problems):
            begins.append(origin)
            yield line + "\n"

    reader = csv.reader(lines(), delimiter=delimiter)
    while True:
        begins.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field without end
            problems.add("row", begins[0] if begins else folder.origin(path), path=path)
            continue
        if any(field.strip() for field in fields):
            yield begins[0], fields


def csv_header(path: Path, delimiter: str = ",") -> tuple[str, ...]:
    """Return the names in the first line of a file; none if it has no such line."""
    try:
        with path.open("rb") as file:
            first = file.readline(_CHUNK).removeprefix(codecs.BOM_UTF8).decode()
        return tuple(name.strip() for name in next(csv.reader([first], delimiter=delimiter), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def header_fault(path: Path, needed: tuple[str, ...], delimiter: str = ",") -> str:
    """Return what the first line of a file should hold, and how it differs; never what it holds.

    A separator is likely another one if it divides the line into more fields.
    """
    header = csv_header(path, delimiter)
    columns = f"the columns {', '.join(name or repr(name) for name in needed)}" if needed else ""
    expected = f"{columns or 'names of columns'} separated by {_DELIMITERS[delimiter]}"
    likely = max(_DELIMITERS, key=lambda other: len(csv_header(path, other)))
    if (fields := len(csv_header(path, likely))) > len(header):
        return f"{expected}, got {fields} separated by {_DELIMITERS[likely]}"
    if missing := [name or "one without a name" for name in needed if name not in header]:
        return f"{expected}, got {len(header)}, missing: {', '.join(missing)}"
    if len(set(header)) < len(header):
        return f"{expected}, got {len(header)}, two of one name"
    return f"{expected}, got {len(header)} in another order"


def read_json_items(path: Path, folder: Folder, problems: Problems) -> Iterator[tuple[Origin, Any]]:
    """Yield the values of JSON lines, or of one array of any length.

    An array is read value by value. After a value that is no JSON nothing behind it can be told,
    so that reading ends there; of JSON lines, only that line is left out.
    """
    if folder.admits(path) and _begins_with(path, b"["):
        yield from _array(path, folder, problems)
        return
    for origin, line in read_lines(path, folder, problems):
        if not line.strip():
            continue
        try:
            yield origin, json.loads(line)
        except (ValueError, RecursionError):
            problems.add("json", origin, path=path)


def first_json_item(path: Path) -> Any:
    """Return the first value of such a file, or None: what tells a layout."""
    for _, item in read_json_items(path, Folder(path), Problems(keep=0)):
        return item
    return None


def _begins_with(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(1024).removeprefix(codecs.BOM_UTF8)
    except OSError:
        return False
    return head.lstrip().startswith(mark)


def _array(path: Path, folder: Folder, problems: Problems) -> Iterator[tuple[Origin, Any]]:
    name, line = folder.name_of(path), 1
    try:
        with path.open("rb") as file:
            stream = _Text(file)
            line += stream.skip(" \t\r\n")
            stream.step()  # over the bracket
            line += stream.skip(" \t\r\n")
            while stream.peek() not in ("]", ""):
                value, lines = stream.value()
                yield Origin(file=name, line=line), value
                line += lines + stream.skip(" \t\r\n,")
            if not stream.peek():  # the file ends before its array does
                problems.add("json", Origin(file=name, line=line), about="no end", path=path)
    except UnicodeDecodeError:
        problems.add("encoding", Origin(file=name, line=line), path=path)
    except (ValueError, RecursionError):
        problems.add("json", Origin(file=name, line=line), path=path)
    except OSError as error:
        problems.add("unreadable", folder.origin(path), about=type(error).__name__, path=path)


class _Text:
    """A window on a UTF-8 file that moves over one JSON value at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._window = ""
        self._at = 0

    def _more(self, size: int) -> bool:
        """Add to the window, and let go of what lies behind; return whether there was more."""
        raw = self._file.read(size)
        self._window = self._window[self._at :] + self._decode.decode(raw, final=not raw)
        self._at = 0
        return bool(raw)

    def peek(self) -> str:
        """Return the next character, or none at the end."""
        while self._at >= len(self._window):
            if not self._more(_CHUNK):
                return ""
        return self._window[self._at]

    def step(self) -> None:
        """Move over one character."""
        self._at += 1

    def skip(self, characters: str) -> int:
        """Move over such characters; return how many line ends that were."""
        lines = 0
        while (character := self.peek()) and character in characters:
            lines += character == "\n"
            self._at += 1
        return lines

    def value(self) -> tuple[Any, int]:
        """Return the next value and the line ends in it; ValueError if there is none."""
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
                if end < len(self._window):
                    break
            except ValueError:
                if len(self._window) - self._at > MAX_BYTES or not self._more(size):
                    raise
            else:
                if not self._more(size):  # until here, 12 might have gone on as 123
                    end = len(self._window)
                    break
            size *= 2
        lines = self._window.count("\n", self._at, end)
        self._at = end
        return value, lines
