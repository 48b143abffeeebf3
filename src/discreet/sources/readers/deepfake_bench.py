"""DeepfakeBench: `dataset_json/NAME.json` with the frames of every video; the frames beside it.

Set -> label (`FF-real`, `FF-DF`) -> split -> (compression ->) video -> `label`, `frames`. Paths may
be written with backslashes. A file is read whole, up to 512 MiB.
Source: https://github.com/SCLBD/DeepfakeBench
"""

import json
from collections.abc import Iterator
from pathlib import Path

from discreet.sources.columns import SPLITS, shown
from discreet.sources.files import Folder
from discreet.sources.layouts import Reader
from discreet.sources.problems import Origin, Problems
from discreet.sources.readers.folders import Files
from discreet.sources.records import Record

MAX_BYTES = 2**29
_AT = ("dataset_json", "preprocessing/dataset_json", ".")
_FRAMES = ("rgb", "datasets/rgb", "datasets")
_DEPTH = 6
_HEAD = 2**16


def _lists(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".json" and _is_bench(path) else []
    found = (file for at in _AT for file in sorted((path / at).glob("*.json")))
    return [file for file in dict.fromkeys(found) if _is_bench(file)]


def _is_bench(path: Path) -> bool:
    """Return whether a file begins with nested objects and names frames early on."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and b'"frames"' in head


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for listed in _lists(path):
        origin = Origin(file=folder.name_of(listed))
        if not folder.admits(listed):
            problems.add("outside", origin, path=listed)
            continue
        try:
            if listed.stat().st_size > MAX_BYTES:
                problems.add("too_long", origin, path=listed)
                continue
            told = json.loads(listed.read_bytes().decode("utf-8-sig"))
        except (OSError, ValueError, RecursionError):
            problems.add("json", origin, path=listed)
            continue
        files = Files(folder, problems, *_FRAMES)
        for number, (keys, video) in enumerate(_videos(told, ()), start=1):
            at = Origin(file=origin.file, line=number)
            record = _record(keys, video, at, folder, files, problems)
            if record is not None:
                yield record


def _videos(told: object, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each video with the keys that lead to it."""
    if not isinstance(told, dict) or "frames" in told or len(keys) >= _DEPTH:
        yield keys, told
        return
    for key, inside in told.items():
        yield from _videos(inside, (*keys, key))


def _record(
    keys: tuple[str, ...],
    video: object,
    origin: Origin,
    folder: Folder,
    files: Files,
    problems: Problems,
) -> Record | None:
    frames = video.get("frames") if isinstance(video, dict) else None
    label = video.get("label") if isinstance(video, dict) else None
    if (
        len(keys) < 4
        or not isinstance(label, str)
        or not isinstance(frames, list)
        or not all(isinstance(frame, str) for frame in frames)
    ):
        problems.add("json", origin, about="a video without label and frames")
        return None
    found = [path for frame in frames if (path := files.find(frame, origin))]
    if not found:
        problems.add("no_picture", origin)
        return None
    labels = {"truth": "real" if "real" in label.lower() else "fake", "method": shown(label)}
    if len(keys) > 4:
        labels["compression"] = shown(keys[3])
    return Record(
        kind="video",
        media=tuple(folder.medium(path, "frame") for path in found),
        labels=labels,
        split=SPLITS.get(keys[2].lower()),
        origin=origin,
    )


READER = Reader(
    name="deepfake_bench",
    kind="video",
    looks_like="preprocessing/dataset_json/FaceForensics++.json, and the frames in it below rgb/",
    source="https://github.com/SCLBD/DeepfakeBench",
    licence="that of each set; the lists CC BY-NC 4.0",
    can_read=lambda path: bool(_lists(path)),
    read=_read,
    lists=_lists,
    vocabulary={"truth": ("real", "fake")},
)
