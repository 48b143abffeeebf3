"""VITON-HD: pairs of a person and a garment, `train_pairs.txt`, `test_pairs.txt`.

A line is `person.jpg garment.jpg`; the files are in `{train,test}/image` and `{train,test}/cloth`.
Source: https://github.com/shadow2496/VITON-HD
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_lines
from discreet.sources.problems import Problems
from discreet.sources.readers.pairs import pair_of
from discreet.sources.records import Record

_SPLITS = ("train", "test")


def _lists(path: Path) -> list[Path]:
    found = [path / f"{split}_pairs.txt" for split in _SPLITS]
    return [file for file in found if file.is_file()]


def _can_read(path: Path) -> bool:
    parts = (path / split / name for split in _SPLITS for name in ("image", "cloth"))
    return path.is_dir() and bool(_lists(path)) and any(part.is_dir() for part in parts)


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(folder.root):
        split = listed.name.partition("_")[0]
        for origin, line in read_lines(listed, folder, problems):
            names = line.split()
            if len(names) != 2:
                if names:
                    problems.add("row", origin, path=listed)
                continue
            pair = pair_of(
                folder,
                (f"{split}/image", names[0]),
                (f"{split}/cloth", names[1]),
                origin,
                problems,
                labels={"worn": "same" if names[0] == names[1] else "another"},
                split=split,
            )
            if pair is not None:
                yield pair


READER = Reader(
    name="viton_hd",
    kind="pair",
    looks_like="train_pairs.txt, test_pairs.txt, train/image, train/cloth",
    source="https://github.com/shadow2496/VITON-HD",
    licence="CC BY-NC 4.0",
    can_read=_can_read,
    read=_read,
    lists=_lists,
    vocabulary={"worn": ("same", "another")},
)
