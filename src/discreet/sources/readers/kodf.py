"""KoDF: `original_videos/ID/` and `synthesized_videos/METHOD/...`, or the methods at the top.

With `fo` and `audio-driven` the face is still that of the person (identity `kept`), with `dffs`,
`dfl` and `fsgan` it is another's (`replaced`). `person` is the first folder below.
Source: https://deepbrainai-research.github.io/kodf/
"""

from collections.abc import Iterator
from pathlib import Path

from discreet.sources.files import VIDEOS, Folder
from discreet.sources.layouts import Reader
from discreet.sources.problems import Problems
from discreet.sources.records import Record

METHODS = ("none", "audio-driven", "dffs", "dfl", "fo", "fsgan")
KEPT = frozenset({"none", "audio-driven", "fo"})
_REAL, _FAKE = "original_videos", "synthesized_videos"
_AT = ("", "kodf_release", "KoDF")


def _parts(path: Path) -> list[tuple[str, Path]]:
    """Return the folders of the set with the method of each."""
    for at in _AT:
        base = path / at
        fakes = [(m, base / inside / m) for inside in (_FAKE, "") for m in METHODS[1:]]
        found = [(method, folder) for method, folder in fakes if folder.is_dir()]
        is_set = (base / _REAL).is_dir() or (base / _FAKE).is_dir() or len(found) > 1
        if found and is_set:
            return [("none", base / _REAL)] * (base / _REAL).is_dir() + found
    return []


def _read(path: Path, problems: Problems) -> Iterator[Record]:
    folder = Folder(path)
    for method, part in _parts(folder.root):
        for origin, video in folder.walk(VIDEOS, problems, under=part):
            below = video.relative_to(part).parts[:-1]
            yield Record(
                kind="video",
                media=(folder.medium(video, "video"),),
                labels={
                    "truth": "real" if method == "none" else "fake",
                    "method": method,
                    "identity": "kept" if method in KEPT else "replaced",
                },
                person=below[0] if below else None,
                origin=origin,
            )


READER = Reader(
    name="kodf",
    kind="video",
    looks_like="original_videos/ID/*.mp4, synthesized_videos/{audio-driven,dffs,dfl,fo,fsgan}/",
    source="https://deepbrainai-research.github.io/kodf/",
    licence="on request; research",
    can_read=lambda path: path.is_dir() and bool(_parts(path)),
    read=_read,
    vocabulary={
        "truth": ("real", "fake"),
        "method": METHODS,
        "identity": ("kept", "replaced"),
    },
)
