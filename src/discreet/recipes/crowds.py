"""Pictures with no, one or several faces, put together from portraits and patterns.

Four people share a handful of pictures and are in no others, so that pictures of two groups have
nobody in common. A face may be small, at the border (up to a quarter of its portrait is cut off) or
blended into what is behind it. Beside faces lie crops of cloth, hair and backdrop and portraits
whose face is painted over, so that a head has to count faces and not rectangles.

It is a drawing exercise: heads do not stand behind each other, and nobody turns away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 224
GROUP_SIZE = 4
COUNTS = (0, 1, 2, 3, 0, 1, 2, 4)
"""Faces in the pictures of a group, over and over: a quarter none, one, two, three or more."""
_CUT_OFF = 0.25
"""Share of a portrait's side that may lie outside the picture."""
_SIDES = {1: (72, 260), 2: (72, 136), 3: (64, 112), 4: (64, 104)}
"""Shortest and longest side of a portrait in pixels, by the number of tiles."""
_FACELESS = {"cloth": (0.0, 0.85, 0.15), "corner": (0.0, 0.0, 0.2), "hair": (0.4, 0.06, 0.16)}
"""Left, top and side of crops without a face, as shares of a portrait's side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """What is true of a picture."""

    faces: int
    """How many faces it shows."""
    group: int
    """Number of the group whose people may be in it."""
    members: tuple[int, ...]
    """Who they are, by their place among the people."""


def draw_crowds(
    people: Sequence[Sequence[Image.Image]], *, pictures: int, seed: int
) -> Iterator[tuple[Image.Image, Crowd]]:
    """Yield pictures of groups of four people, the same ones for the same seed.

    Args:
        people: The portraits of each person, square ones; whoever is left when groups of four are
            full is in none.
        pictures: Number of pictures of each group.
        seed: Of everything that chance decides.
    """
    order = np.random.default_rng(seed).permutation(len(people))
    for group in range(len(people) // GROUP_SIZE):
        members = tuple(int(i) for i in order[group * GROUP_SIZE : (group + 1) * GROUP_SIZE])
        for number in range(pictures):
            draw = np.random.default_rng([seed, group, number])
            faces = COUNTS[number % len(COUNTS)]
            portraits = [people[i][int(draw.integers(len(people[i])))] for i in members]
            portraits = [portraits[i] for i in draw.permutation(GROUP_SIZE)]
            image = _compose(portraits, faces, draw)
            yield image, Crowd(faces=faces, group=group, members=members)


def _compose(portraits: list[Image.Image], faces: int, draw: np.random.Generator) -> Image.Image:
    """Return a picture with the first `faces` portraits, and faceless tiles beside them."""
    distractors = int(draw.integers(0, 3 if faces < 3 else 2))
    if faces == 0 and draw.random() < 0.4:
        whole = _without_face(portraits[0], draw).resize((SIDE_PX, SIDE_PX))
        return _mirrored(whole, draw)
    tiles = portraits[:faces]
    tiles += [_without_face(portraits[-1 - i], draw) for i in range(min(distractors, 4 - faces))]
    canvas = _backdrop(portraits[-1], draw)
    for tile, (left, top, side) in zip(tiles, _places(len(tiles), draw), strict=True):
        scaled = _mirrored(tile, draw).resize((side, side), Image.Resampling.BICUBIC)
        canvas.paste(scaled, (left, top), _mask(side, draw))
    return canvas


def _mirrored(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    flip = Image.Transpose.FLIP_LEFT_RIGHT
    return image.transpose(flip) if draw.random() < 0.5 else image


def _places(count: int, draw: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return left, top and side of tiles whose middles keep their distance.

    Whoever finds no place tries a smaller side: four of the shortest always fit.
    """
    if count == 0:
        return []
    shortest, longest = _SIDES[count]
    while True:
        placed: list[tuple[int, int, int]] = []
        for _ in range(200):
            side = int(draw.integers(shortest, longest + 1))
            slack = int(_CUT_OFF * side)
            left, top = (int(v) for v in draw.integers(-slack, SIDE_PX - side + slack + 1, 2))
            if all(_apart((left, top, side), other) for other in placed):
                placed.append((left, top, side))
            if len(placed) == count:
                return placed
        longest = max(shortest, int(0.9 * longest))


def _apart(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Tell whether neither tile covers the middle half, the face, of the other."""
    (x, y, s), (u, v, t) = one, other
    gap = max(abs(x + s / 2 - u - t / 2), abs(y + s / 2 - v - t / 2))
    return gap >= 0.75 * (s + t) / 2


def _mask(side: int, draw: np.random.Generator) -> Image.Image:
    """Return what is seen of a tile: all, all with soft edges, or a soft oval round the head."""
    kind = draw.integers(3)
    if kind == 0:
        return Image.new("L", (side, side), 255)
    mask = Image.new("L", (side, side), 0)
    pen, edge = ImageDraw.Draw(mask), side * 0.06
    if kind == 1:
        pen.rectangle((edge, edge, side - edge, side - edge), fill=255)
    else:
        pen.ellipse((side * 0.12, edge, side * 0.88, side - edge), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(edge / 2))


def _without_face(portrait: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Return a crop beside the face, or the portrait with the face painted over."""
    names = [*_FACELESS, "painted_over"]
    name = names[draw.integers(len(names))]
    if name == "painted_over":
        return _painted_over(portrait, draw)
    left, top, share = _FACELESS[name]
    if name == "cloth":
        left = float(draw.uniform(0, 1 - share))
    if name == "corner":
        left, top = float(draw.choice([0.0, 1 - share])), float(draw.uniform(0, 0.25))
    width = portrait.width
    box = tuple(round(width * v) for v in (left, top, left + share, top + share))
    crop = portrait.crop(box)  # type: ignore[arg-type]
    return crop.resize(portrait.size, Image.Resampling.BICUBIC)


def _painted_over(portrait: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Return hair, shoulders and backdrop round an oval of a pattern in a colour of the picture."""
    width = portrait.width
    x, y = (int(v) for v in draw.integers(0, width, 2))
    colour = portrait.getpixel((x, y))
    oval = Image.new("L", portrait.size, 0)
    box = tuple(round(width * v) for v in (0.2, 0.12, 0.8, 0.95))
    ImageDraw.Draw(oval).ellipse(box, fill=255)
    pattern = _pattern(draw, np.array(colour, float)).resize(portrait.size)
    painted = portrait.copy()
    painted.paste(pattern, mask=oval.filter(ImageFilter.GaussianBlur(width * 0.02)))
    return painted


def _backdrop(portrait: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Return a canvas: a pattern, or a corner of a portrait drawn out."""
    if draw.random() < 0.3:
        side = portrait.width // 5
        left = int(draw.choice([0, portrait.width - side]))
        return portrait.crop((left, 0, left + side, side)).resize((SIDE_PX, SIDE_PX))
    return _pattern(draw, draw.uniform(0, 255, 3))


def _pattern(draw: np.random.Generator, colour: np.ndarray) -> Image.Image:
    """Return two colours mixed by a slope, stripes, checks, blobs or grain."""
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    angle, waves = draw.uniform(0, 2 * np.pi), draw.uniform(2, 24)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = draw.integers(5)
    if kind == 0:
        mix = (along - along.min()) / np.ptp(along)
    elif kind == 1:
        mix = 0.5 + 0.5 * np.sin(2 * np.pi * waves * along)
    elif kind == 2:
        mix = (np.sin(2 * np.pi * waves * along) * np.sin(2 * np.pi * waves * across) > 0) * 1.0
    elif kind == 3:
        mix = _blobs(draw, cells=int(draw.integers(3, 24)))
    else:
        mix = draw.uniform(0, 1, (SIDE_PX, SIDE_PX))
    other = np.clip(colour + draw.uniform(-120, 120, 3), 0, 255)
    pixels = colour + (other - colour) * mix[:, :, None] + draw.normal(0, 4, (SIDE_PX, SIDE_PX, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _blobs(draw: np.random.Generator, cells: int) -> np.ndarray:
    """Return a smooth field in [0, 1], (SIDE_PX, SIDE_PX)."""
    grain = Image.fromarray((draw.uniform(0, 255, (cells, cells))).astype(np.uint8))
    return np.asarray(grain.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) / 255
