"""DeepfakeTIMIT: `higher_quality/fadg0/sa1-video-fram1.avi`, `lower_quality/...`; all are swaps.

The set has the fakes only; the real videos are VidTIMIT's. `person` is the folder.
Source: https://www.idiap.ch/en/scientific-research/data/deepfaketimit
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import VIDEOS, Folder
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.records import Record

QUALITIES = ("higher_quality", "lower_quality")


def _parts(path: Path) -> list[Path]:
    found = [path / at / quality for at in ("", "DeepfakeTIMIT") for quality in QUALITIES]
    return [part for part in found if part.is_dir()]


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for part in _parts(folder.root):
        for origin, video in folder.walk(VIDEOS, problems, under=part):
            below = video.relative_to(part).parts[:-1]
            if len(below) != 1:
                problems.add("name", origin, about="not in the folder of a person", path=video)
                continue
            yield Record(
                kind="video",
                media=(folder.medium(video, "video"),),
                labels={
                    "truth": "fake",
                    "identity": "replaced",
                    "quality": part.name.partition("_")[0],
                },
                person=below[0],
                origin=origin,
            )


READER = Reader(
    name="df_timit",
    kind="video",
    looks_like="higher_quality/fadg0/sa1-video-fram1.avi, lower_quality/fadg0/...",
    source="https://www.idiap.ch/en/scientific-research/data/deepfaketimit",
    licence="on request; research, by the agreement of the set",
    can_read=lambda path: path.is_dir() and bool(_parts(path)),
    read=_read,
    vocabulary={"quality": ("higher", "lower")},
)
