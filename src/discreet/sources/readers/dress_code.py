"""DressCode: pairs of a person and a garment in `dresses`, `upper_body` and `lower_body`.

Lists lie in each category (`013563_0.jpg 013563_1.jpg`), or at the top with the category as third
field (0 upper body, 1 lower body, 2 dresses). Both hold the same pairs: those at the top are read
where no category has a list.
Source: https://github.com/aimagelab/dress-code
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_lines
from discreet.sources.problems import Problems
from discreet.sources.readers.pairs import pair_of
from discreet.sources.records import Record

CATEGORIES = ("upper_body", "lower_body", "dresses")
_LISTS = {
    "train_pairs.txt": ("train", "same"),
    "test_pairs_paired.txt": ("test", "same"),
    "test_pairs_unpaired.txt": ("test", "another"),
}


def _lists(path: Path) -> list[Path]:
    for places in ([path / category for category in CATEGORIES], [path]):
        if found := [at / name for at in places for name in _LISTS if (at / name).is_file()]:
            return found
    return []


def _can_read(path: Path) -> bool:
    if not path.is_dir():
        return False
    return bool(_lists(path)) and any((path / name / "images").is_dir() for name in CATEGORIES)


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(folder.root):
        split, worn = _LISTS[listed.name]
        for origin, line in read_lines(listed, folder, problems):
            fields = line.split()
            category = _category(fields, listed.parent.name)
            if category is None:
                if fields:
                    problems.add("row", origin, path=listed)
                continue
            pair = pair_of(
                folder,
                (f"{category}/images", fields[0]),
                (f"{category}/images", fields[1]),
                origin,
                problems,
                labels={"category": category, "worn": worn},
                split=split,
            )
            if pair is not None:
                yield pair


def _category(fields: list[str], folder: str) -> str | None:
    if len(fields) == 2 and folder in CATEGORIES:
        return folder
    if len(fields) == 3 and fields[2] in ("0", "1", "2"):
        return CATEGORIES[int(fields[2])]
    return None


READER = Reader(
    name="dress_code",
    kind="pair",
    looks_like="upper_body/, lower_body/, dresses/ with images/ and train_pairs.txt",
    source="https://github.com/aimagelab/dress-code",
    licence="on request; academic use only",
    can_read=_can_read,
    read=_read,
    lists=_lists,
    vocabulary={"category": CATEGORIES, "worn": ("same", "another")},
)
