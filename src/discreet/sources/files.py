"""Files of a data set, found without ever leaving its folder."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from discreet.errors import RunExists
from discreet.sources.problems import Origin, Problems
from discreet.sources.records import Medium

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
OTHER_PICTURES = frozenset({".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff"})
VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
_KNOWN_PARENTS = 10_000


class Folder:
    """The folder of a data set; remembers which of its subfolders are truly inside."""

    def __init__(self, root: Path) -> None:
        """Take a folder, or the folder that a file lies in."""
        named = real_place(root)
        self.root = named if root.is_dir() else named.parent
        self._named = None if root.is_dir() else named
        self._inside: dict[str, bool] = {}

    def medium(
        self,
        path: Path,
        role: str = "picture",
        *,
        row: int | None = None,
        column: str | None = None,
        item: int = 0,
    ) -> Medium:
        """Return a file of the set, or a cell of one of its tables, as part of a record."""
        if not self._is_inside(str(path)):  # given as a relative path, or through a link
            path = real_place(path)
        return Medium(role=role, path=path, root=self.root, row=row, column=column, item=item)

    def origin(self, path: Path, line: int | None = None) -> Origin:
        """Return the place of a list of the set."""
        return Origin(file=self.name_of(path), line=line)

    def name_of(self, path: Path) -> str:
        """Return the path relative to the folder, or the folder's own name."""
        if not self._is_inside(str(path)):
            path = real_place(path)
        is_inside = self._is_inside(str(path))
        name = path.relative_to(self.root).as_posix() if is_inside else path.name
        return printable(self.root.name if name == "." else name)

    def find(
        self, name: str, origin: Origin, problems: Problems, *, prefix: str = ""
    ) -> Path | None:
        r"""Return the file that a list names, or None after counting why it cannot be used.

        Args:
            name: A path relative to the folder; `\` divides as `/` does.
            origin: Where the list says so.
            problems: Gets what is wrong.
            prefix: Subfolder that the list leaves out.
        """
        if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
            problems.add("remote", origin)
            return None
        parts = relative_parts(name)
        if parts is None:
            problems.add("outside", origin)
            return None
        found = _with_any_case(self.root.joinpath(prefix, *parts)) if parts else None
        if found is None:
            problems.add("missing_file", origin)
            return None
        path, status = found
        if not self.holds(path, is_link=stat.S_ISLNK(status.st_mode)):
            problems.add("outside", origin, path=path)
            return None
        return self._regular(path, status, origin, problems)

    def _regular(
        self, path: Path, status: os.stat_result, origin: Origin, problems: Problems
    ) -> Path | None:
        """Return a path if it is a file that holds something."""
        try:
            status = path.stat() if stat.S_ISLNK(status.st_mode) else status
        except OSError:  # a link to nothing, or in a circle
            problems.add("missing_file", origin, path=path)
            return None
        if not stat.S_ISREG(status.st_mode):
            problems.add("missing_file", origin, about="not a file", path=path)
            return None
        if status.st_size == 0:
            problems.add("empty_file", origin, path=path)
            return None
        return path

    def holds(self, path: Path, *, is_link: bool) -> bool:
        """Return whether a path is inside the folder once links are followed."""
        if is_link:
            return self._is_inside(os.path.realpath(path))
        parent = str(path.parent)
        if parent not in self._inside:
            if len(self._inside) >= _KNOWN_PARENTS:
                self._inside.clear()
            self._inside[parent] = self._is_inside(os.path.realpath(parent))
        return self._inside[parent]

    def holds_path(self, path: Path) -> bool:
        """Return whether a real path is the folder or lies in it."""
        return self._is_inside(str(path))

    def admits(self, path: Path) -> bool:
        """Return whether a list or table may be read: a link of the set may not lead out of it.

        A file that was named itself may lie anywhere; so may the blobs beside a snapshot of the
        hub's cache.
        """
        real = os.path.realpath(path)
        if self._is_inside(real) or real_place(path) == self._named:
            return True
        is_snapshot = self.root.parent.name == "snapshots"
        return is_snapshot and Path(real).parent == self.root.parent.parent / "blobs"

    def _is_inside(self, real: str) -> bool:
        return real == str(self.root) or real.startswith(str(self.root).rstrip("/") + "/")

    def walk(
        self, suffixes: frozenset[str], problems: Problems, *, under: Path | None = None
    ) -> Iterator[tuple[Origin, Path]]:
        """Yield the files with one of the suffixes, sorted folder by folder.

        Hidden files (`.DS_Store`, `._photo.jpg`) and `__MACOSX` are passed over. A link to a
        folder is not followed.
        """
        place = self.name_of(under or self.root)
        count = 0
        for entry in self._entries(under or self.root, problems):
            if Path(entry.name).suffix.lower() not in suffixes:
                continue
            count += 1
            origin = Origin(file=f"{place}/", line=count)
            path = Path(entry.path)
            if printable(entry.name) != entry.name:
                problems.add("encoding", origin, about="a file name", path=path)
            elif entry.is_symlink() and not self.holds(path, is_link=True):
                problems.add("outside", origin, path=path)
            elif self._regular(path, entry.stat(follow_symlinks=False), origin, problems):
                yield origin, path

    def _entries(self, start: Path, problems: Problems) -> Iterator["os.DirEntry[str]"]:
        """Yield what is no folder; one folder's names are in memory at a time."""
        todo = [str(start)]
        while todo:
            here = todo.pop()
            try:
                with os.scandir(here) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError:
                problems.add("unreadable", Origin(file=self.name_of(start)), path=Path(here))
                continue
            kept = [e for e in entries if not e.name.startswith((".", "__MACOSX"))]
            todo += [e.path for e in reversed(kept) if e.is_dir(follow_symlinks=False)]
            for entry in kept:
                if not os.path.isdir(entry.path):
                    yield entry
                elif entry.is_symlink() and not self.holds(Path(entry.path), is_link=True):
                    origin = Origin(file=self.name_of(start))
                    problems.add("outside", origin, path=Path(entry.path))


def real_place(path: Path) -> Path:
    """Return where a path truly lies; a file that is a link keeps its own name and place."""
    if path.is_dir():
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent)) / path.name


def refuse_existing(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        RunExists: if something is there.
    """
    if out.exists():
        raise RunExists(f"Expected a new path, found '{out.name}' in use. Choose another name.")


def relative_parts(name: str) -> list[str] | None:
    """Return the parts of a relative path; None if it is absolute, climbs, or is no path.

    >>> relative_parts("train/./9.jpg"), relative_parts("../9.jpg"), relative_parts("C:/9.jpg")
    (['train', '9.jpg'], None, None)
    """
    name = name.replace("\\", "/")
    if name.startswith("/") or re.match("[A-Za-z]:", name) or "\0" in name:
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts else parts


def printable(name: str) -> str:
    """Return a file name as text that can be written; other bytes than UTF-8 as numbers."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def first_names(folder: Path, suffixes: frozenset[str], limit: int = 100) -> list[str]:
    """Return names of some files of a folder, three levels deep at most: what tells a layout."""
    names: list[str] = []
    todo = [(folder, 0)]
    while todo and len(names) < limit:
        here, depth = todo.pop(0)
        try:
            with os.scandir(here) as found:
                entries = [entry for _, entry in zip(range(20 * limit), found, strict=False)]
        except OSError:
            continue
        visible = [e for e in entries if not e.name.startswith((".", "__MACOSX"))]
        names += [e.name for e in visible if Path(e.name).suffix.lower() in suffixes]
        folders = sorted(e.path for e in visible if e.is_dir(follow_symlinks=False))
        todo += [(Path(path), depth + 1) for path in folders[:limit] if depth < 3]
    return names[:limit]


def _with_any_case(path: Path) -> tuple[Path, os.stat_result] | None:
    """Return a path and its status; of an ending that differs in case only, the one on disk."""
    for suffix in dict.fromkeys((path.suffix, path.suffix.lower(), path.suffix.upper())):
        other = path.with_suffix(suffix)
        try:
            return other, other.lstat()
        except (OSError, ValueError):  # not there; or a name that no file can have
            continue
    return None
