"""Where the files of a list are: many sets unpack into a folder more than their lists say."""

from pathlib import Path

from discreet.sources.files import Folder, relative_parts
from discreet.sources.problems import Origin, Problems
from discreet.sources.rows import folders_in

_TRIES = 100


class Files:
    """Finds the files of a list, in the subfolder that the list leaves out."""

    def __init__(self, folder: Folder, problems: Problems, *likely: str) -> None:
        """Take the set's folder and the subfolders that its layout is known for."""
        self._folder = folder
        self._problems = problems
        self._likely = likely
        self._prefix: str | None = None
        self._tries = _TRIES

    def find(self, name: str, origin: Origin) -> Path | None:
        """Return the file, or None after counting why it cannot be used."""
        if self._prefix is None and self._tries:
            self._tries -= 1
            self._prefix = self._prefix_of(name)
        return self._folder.find(name, origin, self._problems, prefix=self._prefix or "")

    def _prefix_of(self, name: str) -> str | None:
        """Return the subfolder that holds a name; of several, the first one that is likely."""
        parts = relative_parts(name)
        if not parts:
            return None
        others = (inside.name for inside in folders_in(self._folder.root))
        for prefix in ("", *self._likely, *others):
            if is_there(self._folder.root.joinpath(prefix, *parts)):
                return prefix
        return None


def first_of(path: Path, *names: str) -> Path | None:
    """Return the first of several relative names that is there, or None."""
    return next((path / name for name in names if is_there(path / name)), None)


def is_there(path: Path) -> bool:
    """Return whether a path is there; a name that no file can have is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
