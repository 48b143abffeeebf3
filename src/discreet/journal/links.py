"""Which pseudonym a visit has today: small files, and the only link from a line to a visit.

A pseudonym is drawn at random for each visit and day. The file that holds it is named by a keyed
hash of the day and the visit's id, which is on no disk: without the id nobody finds the file, and
without the file nobody finds the lines. When it is removed, nothing leads from an id to them any
more. It cannot remove what backups, snapshots or the cells of a flash disk keep.

>>> import tempfile
>>> links = Links(Path(tempfile.mkdtemp()), b"key")
>>> mine = links.pseudonym("5e" * 16, date(2026, 3, 1))
>>> links.of("5e" * 16) == [mine], links.forget("5e" * 16), links.of("5e" * 16)
(True, 1, [])

Not to be used by two at once: the journal's lock is held around all of it.
"""

import os
import secrets
import shutil
from datetime import date
from pathlib import Path

from discreet.artifacts import read_whole_lines, remove_file, write_bytes
from discreet.journal.lines import derived

_DIGITS = 16
"""Of a pseudonym: 64 bits, so that two visits do not meet by chance."""


class Links:
    """The folder of links; one folder for each day."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key

    def pseudonym(self, person: str, day: date) -> str:
        """Return the visit's pseudonym on a day, drawn if there is none."""
        path = self._path(person, day.isoformat())
        if not path.exists():
            write_bytes(path, f"{secrets.token_hex(_DIGITS // 2)}\n".encode())
        return _read(path)

    def of(self, person: str) -> list[str]:
        """Return the pseudonyms that are still linked to a visit."""
        return [_read(path) for path in self._paths(person)]

    def forget(self, person: str) -> int:
        """Remove the links of a visit, overwritten before; return how many there were."""
        paths = self._paths(person)
        for path in paths:
            with path.open("r+b", buffering=0) as file:
                file.write(b"\0" * path.stat().st_size)
                os.fsync(file.fileno())
            remove_file(path)
        return len(paths)

    def drop_before(self, day: date) -> None:
        """Remove all links of earlier days."""
        for folder in self._days():
            if folder.name < day.isoformat():
                shutil.rmtree(folder)

    def _days(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []

    def _paths(self, person: str) -> list[Path]:
        found = [self._path(person, folder.name) for folder in self._days()]
        return [path for path in found if path.exists()]

    def _path(self, person: str, day: str) -> Path:
        return self._folder / day / derived(self._key, f"{day} {person}".encode()).hex()[:32]


def _read(path: Path) -> str:
    return read_whole_lines(path).decode("ascii", "replace").strip()
