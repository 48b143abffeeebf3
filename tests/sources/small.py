"""Small sets in exactly the layout of the real ones, made in the test that reads them."""

import csv
import json
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from PIL import Image

from discreet.sources import Problems, Record, read_source

PIXEL = b"\x00"
"""The content of a file that only has to be there."""


def picture(seed: int = 0, size: tuple[int, int] = (48, 40), kind: str = "JPEG") -> bytes:
    """Return a picture of blocks of random colours, another one for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return encoded(Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST), kind)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def put(root: Path, files: dict[str, bytes | str]) -> Path:
    """Write files below a folder and return it."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def table(*rows: tuple[object, ...], end: str = "\n") -> str:
    """Return rows as CSV."""
    stream = StringIO()
    csv.writer(stream, lineterminator=end).writerows(rows)
    return stream.getvalue()


def lines(*values: object) -> str:
    """Return values as JSON lines."""
    return "".join(json.dumps(value) + "\n" for value in values)


def read(path: Path, layout: str | None = None) -> tuple[list[Record], Problems]:
    """Return all records of a set and its problems."""
    problems = Problems()
    return list(read_source(path, layout=layout, problems=problems)), problems


def found(problems: Problems) -> dict[str, list[int | None]]:
    """Return kind of problem -> the lines it is in."""
    told: dict[str, list[int | None]] = {}
    for problem in problems.kept:
        told.setdefault(problem.kind, []).append(problem.line)
    return told
