"""Contact sheets: many pictures on one, to look at a collection with one's own eyes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageOps

from discreet.data.images import open_image
from discreet.types import EXPRESSIONS

_CAPTION_PX = 16
_CELL = ("age_band", "gender_presentation", "ethnicity")


def contact_sheet(
    images: Iterable[Image.Image],
    *,
    captions: Sequence[str] = (),
    columns: int = 8,
    side_px: int = 128,
) -> Image.Image:
    """Return pictures side by side, left to right and top to bottom, each as large as fits.

    Args:
        images: The pictures.
        captions: What stands below the first ones; if there are any, all lines have room for them.
        columns: Pictures in a line.
        side_px: Side of the square that a picture has to fit in.
    """
    fitted = [ImageOps.contain(image, (side_px, side_px)) for image in images]
    lines = max(1, -(-len(fitted) // columns))
    line_px = side_px + (_CAPTION_PX if captions else 0)
    sheet = Image.new("RGB", (columns * side_px, lines * line_px), "white")
    for place, image in enumerate(fitted):
        sheet.paste(image, (place % columns * side_px, place // columns * line_px))
    draw = ImageDraw.Draw(sheet)
    for place, caption in enumerate(captions):
        at = (place % columns * side_px + 4, place // columns * line_px + side_px + 2)
        draw.text(at, caption, fill="black")
    return sheet


def save_contact_sheet(parquet: Path, out: Path, *, count: int = 48) -> None:
    """Write a sheet of a Parquet file's portraits or twins, as a PNG of 256 colours.

    Portraits are of different people: combinations of age band, gender presentation and ethnicity
    take turns, and so do expressions. Twins stand side by side, with their kind below; kinds are in
    alphabetical order.
    """
    rows = pq.read_table(parquet).to_pylist()
    twins = bool(rows) and "first_image" in rows[0]
    pairs = _twins(rows, count) if twins else []
    captions = [text for row in pairs for text in (row["kind"], "")]
    sheet = contact_sheet(_pictures(pairs) if twins else _portraits(rows, count), captions=captions)
    palette = sheet.quantize(256, kmeans=1)
    sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)


def _portraits(rows: list[dict[str, Any]], count: int) -> list[Image.Image]:
    of_cell: dict[tuple[str, ...], dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        cell = tuple(row[name] for name in _CELL)
        of_cell.setdefault(cell, {}).setdefault(row["identity_id"], []).append(row)
    people = [list(of_cell[cell].values()) for cell in sorted(of_cell)]
    turns = [some[turn] for turn in range(count) for some in people if turn < len(some)]
    chosen = []
    for place, shots in enumerate(turns[:count]):
        wanted = EXPRESSIONS[place % len(EXPRESSIONS)]
        chosen.append(next((row for row in shots if row["expression"] == wanted), shots[0]))
    return [open_image(row["image"]["bytes"]) for row in chosen]


def _twins(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    of_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_kind.setdefault(row["kind"], []).append(row)
    return [
        of_kind[kind][(7 * turn + 5 * place) % len(of_kind[kind])]
        for place, kind in enumerate(sorted(of_kind))
        for turn in range(max(1, count // 2 // len(of_kind)))
    ]


def _pictures(pairs: list[dict[str, Any]]) -> list[Image.Image]:
    return [
        open_image(row[name]["bytes"]) for row in pairs for name in ("first_image", "second_image")
    ]
