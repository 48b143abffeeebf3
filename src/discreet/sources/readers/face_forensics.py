"""FaceForensics++: `original_sequences/` and `manipulated_sequences/METHOD/COMPRESSION/videos/`.

`033_097.mp4` puts something on video 033: with `Face2Face` and `NeuralTextures` the face is still
that of 033 (identity `kept`), with the others that of 097 (`replaced`). The numbers are of videos;
the set does not say who is in them. `person` is the target video, so that all that was made from it
stays together.
Source: https://github.com/ondyari/FaceForensics/tree/master/dataset
"""

import re
from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import VIDEOS, Folder
from discreet.sources.layouts import Reader
from discreet.sources.lists import read_json_items
from discreet.sources.problems import Origin, Problems
from discreet.sources.records import Record

KEPT = frozenset({"Face2Face", "NeuralTextures"})
METHODS = (
    "none",
    "Deepfakes",
    "Face2Face",
    "FaceShifter",
    "FaceSwap",
    "NeuralTextures",
    "DeepFakeDetection",
)
_PARTS = ("original_sequences", "manipulated_sequences")
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_NAME = re.compile(r"(?P<target>\d{2,3})(?:_(?P<source>\d{2,3}))?(?:__.+)?")


def _lists(path: Path) -> list[Path]:
    names = [f"{at}{split}.json" for at in ("", "splits/") for split in _SPLITS]
    return [path / name for name in names if (path / name).is_file()]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    split_of = _splits(folder, problems)
    for part in _PARTS:
        if (folder.root / part).is_dir():
            for origin, video in folder.walk(VIDEOS, problems, under=folder.root / part):
                record = _record(video, folder, origin, split_of)
                if record is None:
                    problems.add("name", origin, path=video)
                else:
                    yield record


def _record(video: Path, folder: Folder, origin: Origin, split_of: dict[str, str]) -> Record | None:
    part, *between = video.relative_to(folder.root).parts[:-1]
    told = _NAME.fullmatch(video.stem)
    is_real = part == _PARTS[0]
    if told is None or not between or not (is_real or told["source"]):
        return None
    method = between[0]
    labels = {
        "truth": "real" if is_real else "fake",
        "method": "none" if is_real else method,
        "identity": "kept" if is_real or method in KEPT else "replaced",
    }
    if compression := next((name for name in between if name in ("raw", "c0", "c23", "c40")), None):
        labels["compression"] = compression
    # Actors and videos of YouTube are numbered apart.
    of_actors = method in ("actors", "DeepFakeDetection")
    return Record(
        kind="video",
        media=(folder.medium(video, "video"),),
        labels=labels,
        person=f"actor-{told['target']}" if of_actors else told["target"],
        split=None if of_actors else split_of.get(told["target"]),
        origin=origin,
    )


def _splits(folder: Folder, problems: Problems) -> dict[str, str]:
    """Return the split of each video, from lists of pairs `["071", "054"]`."""
    split_of: dict[str, str] = {}
    for listed in _lists(folder.root):
        for origin, pair in read_json_items(listed, folder, problems):
            if isinstance(pair, list) and all(isinstance(number, str) for number in pair):
                split_of |= dict.fromkeys(pair, _SPLITS[listed.stem])
            else:
                problems.add("json", origin, path=listed)
    return split_of


READER = Reader(
    name="face_forensics",
    kind="video",
    looks_like="original_sequences/youtube/c23/videos/000.mp4, "
    "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
    source="https://github.com/ondyari/FaceForensics",
    licence="on request; terms of use of the set, non-commercial research",
    can_read=lambda path: path.is_dir() and any((path / part).is_dir() for part in _PARTS),
    read=_read,
    lists=_lists,
    vocabulary={
        "truth": ("real", "fake"),
        "method": METHODS,
        "identity": ("kept", "replaced"),
    },
)
