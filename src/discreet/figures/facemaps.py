"""Where on the head lips, beard, scalp and folds are: maps painted by code over the face's texture.

Each texel of the map is a place on the base mesh, so that everything here is said in its
decimetres: x to the person's left, y up (the mouth is at 6.62, the eyes at 7.28, the hairline at
8.0), z to the front. Both halves of a face are alike.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator

from discreet.figures.body import Body

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Stroke = Sequence[tuple[float, float]]

FACE_BOX = (0.632, 0.155, 0.965, 0.835)
"""Left, bottom, right, top of the head in texture coordinates, the origin at the bottom left."""
_WIDE, _HIGH = 448, 912
_HEAD_ABOVE = 5.4

_FOREHEAD: tuple[Stroke, ...] = (
    ((0.0, 7.60), (0.18, 7.615), (0.36, 7.60)),
    ((0.0, 7.71), (0.2, 7.735), (0.42, 7.70)),
    ((0.0, 7.83), (0.2, 7.845), (0.36, 7.81)),
)
_CROWS_FEET: tuple[Stroke, ...] = (
    ((0.50, 7.30), (0.57, 7.35), (0.63, 7.40)),
    ((0.51, 7.27), (0.58, 7.275), (0.65, 7.28)),
    ((0.50, 7.23), (0.56, 7.19), (0.61, 7.14)),
)
_UNDER_EYE: tuple[Stroke, ...] = (((0.17, 7.23), (0.24, 7.155), (0.34, 7.125), (0.44, 7.15)),)
_SMILE: tuple[Stroke, ...] = (((0.20, 6.99), (0.26, 6.90), (0.315, 6.79), (0.345, 6.66)),)
_MARIONETTE: tuple[Stroke, ...] = (((0.285, 6.55), (0.305, 6.47), (0.30, 6.38)),)
_FROWN: tuple[Stroke, ...] = (
    ((0.058, 7.31), (0.062, 7.38), (0.05, 7.46)),
    ((0.0, 7.285), (0.055, 7.295)),
)


def place_map(body: Body) -> Plane:
    """Return the place (H, W, 3) on the base mesh of each texel, NaN where there is no head."""
    part = body.part("body", lowest=_HEAD_ABOVE)
    left, bottom, right, top = FACE_BOX
    spots = part.texture_coordinates
    near = (spots[:, 0] > left - 0.02) & (spots[:, 0] < right + 0.02)
    near &= (spots[:, 1] > bottom - 0.02) & (spots[:, 1] < top + 0.02)
    places = body.vertices[part.corners[near]]
    across, up = np.meshgrid(
        left + (np.arange(_WIDE) + 0.5) / _WIDE * (right - left),
        top - (np.arange(_HIGH) + 0.5) / _HIGH * (top - bottom),
    )
    found: Plane = LinearNDInterpolator(spots[near], places)(across, up).astype(np.float32)
    return found


def face_map(places: Plane) -> Pixels:
    """Return lips, beard, scalp and blush (H, W, 4)."""
    x, y, z = np.abs(places[..., 0]), places[..., 1], places[..., 2]
    front = _step(z, 0.9, 1.15)
    lips = _lips(x, y) * front
    planes = [lips, _beard(x, y, z) * (1 - lips), _scalp(x, y, z), _blush(x, y, z)]
    return _bytes(planes)


def fold_map(places: Plane) -> Pixels:
    """Return folds of the forehead, around the eyes, around the mouth and of a frown (H, W, 4)."""
    x, y, z = np.abs(places[..., 0]), places[..., 1], places[..., 2]
    front = _step(z, 0.35, 0.7)
    eyes = np.maximum(_strokes(x, y, _CROWS_FEET, 0.012), 0.8 * _strokes(x, y, _UNDER_EYE, 0.018))
    mouth = np.maximum(_strokes(x, y, _SMILE, 0.026), 0.6 * _strokes(x, y, _MARIONETTE, 0.02))
    planes = [
        _strokes(x, y, _FOREHEAD, 0.016) * _step(x, 0.5, 0.25),
        eyes,
        mouth,
        _strokes(x, y, _FROWN, 0.014),
    ]
    return _bytes([plane * front for plane in planes])


def _lips(x: Plane, y: Plane) -> Plane:
    along = np.clip(1 - (x / 0.245) ** 2, 0, 1)
    bow = 0.012 * np.exp(-((x / 0.03) ** 2))
    above = _step(y, 6.625 + 0.088 * along**0.7 - bow + 0.012, 6.625 + 0.088 * along**0.7 - bow)
    below = _step(y, 6.605 - 0.105 * along**0.6 - 0.012, 6.605 - 0.105 * along**0.6)
    return above * below * _step(x, 0.25, 0.22)


def _beard(x: Plane, y: Plane, z: Plane) -> Plane:
    cheek = np.interp(x, [0.0, 0.2, 0.3, 0.5, 0.62, 0.7], [6.87, 6.86, 6.74, 6.70, 6.88, 7.20])
    line = cheek.astype(np.float32)
    area = _step(y, line + 0.07, line - 0.13)
    neck = _step(y, 6.10, 6.32) * _step(z, 0.42, 0.72) * _step(x, 0.735, 0.70)
    bare = np.exp(-((x / 0.12) ** 2) - ((y - 6.80) / 0.09) ** 2) * 0.5
    corner = np.exp(-(((x - 0.2) / 0.05) ** 2) - ((y - 6.50) / 0.05) ** 2) * 0.4
    return np.clip(area * neck - bare - corner, 0, 1)


def _scalp(x: Plane, y: Plane, z: Plane) -> Plane:
    """Hair grows above a line that runs from the forehead over the temple and behind the ear."""
    line = np.interp(
        z, [-1.2, -0.6, 0.0, 0.25, 0.55, 0.75, 0.9, 1.05, 1.3, 1.6],
        [6.35, 6.4, 6.75, 7.35, 7.2, 7.3, 7.62, 7.86, 7.95, 8.0],
    ).astype(np.float32)  # fmt: skip
    ragged = 0.03 * ndimage.gaussian_filter(np.random.default_rng(0).normal(size=x.shape), 3) * 10
    ear = _step(x, 0.70, 0.735) * _step(y, 7.5, 7.42)
    return _step(y + ragged.astype(np.float32), line - 0.10, line + 0.14) * (1 - ear)


def _blush(x: Plane, y: Plane, z: Plane) -> Plane:
    cheek = np.exp(-(((x - 0.40) / 0.17) ** 2) - ((y - 6.98) / 0.15) ** 2)
    nose = np.exp(-((x / 0.12) ** 2) - ((y - 6.97) / 0.09) ** 2)
    chin = 0.5 * np.exp(-((x / 0.12) ** 2) - ((y - 6.35) / 0.08) ** 2)
    ear = 0.8 * _step(x, 0.70, 0.76) * _step(z, 0.6, 0.3)
    return np.clip(cheek + nose + chin + ear, 0, 1) * _step(y, 6.0, 6.3)


def _strokes(x: Plane, y: Plane, strokes: Sequence[Stroke], width: float) -> Plane:
    """Return grooves along lines, 1 in the middle; they thin out towards their ends."""
    depth = np.zeros_like(x)
    for stroke in strokes:
        line = _smooth(np.array(stroke))
        for place, (a, b) in enumerate(zip(line[:-1], line[1:], strict=True)):
            along = b - a
            share = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / (along @ along)
            share = np.clip(share, 0, 1)
            off = (x - a[0] - share * along[0]) ** 2 + (y - a[1] - share * along[1]) ** 2
            middle = (place + share) / (len(line) - 1)
            strong = np.sqrt(np.clip(1.04 - (2 * middle - 1) ** 2, 0, 1)) if a[0] else 1.0
            depth = np.maximum(depth, strong * np.exp(-off / (2 * width**2)))
    return np.nan_to_num(depth)


def _smooth(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a rounded line through points, with about ten pieces."""
    steps = np.linspace(0, len(points) - 1, 11)
    lines = [np.interp(steps, np.arange(len(points)), points[:, axis]) for axis in (0, 1)]
    line = np.stack(lines, 1)
    line[1:-1] = (line[:-2] + 2 * line[1:-1] + line[2:]) / 4
    return line


def _step(value: Plane, low: "Plane | float", high: "Plane | float") -> Plane:
    """Return 0 at `low`, 1 at `high`, smooth between; `low` may be the larger."""
    share = np.clip((value - low) / (np.asarray(high) - low), 0, 1)
    smooth: Plane = (share * share * (3 - 2 * share)).astype(np.float32)
    return smooth


def _bytes(planes: Sequence[Plane]) -> Pixels:
    stacked = np.nan_to_num(np.stack(planes, 2))
    clipped: Pixels = (np.clip(stacked, 0, 1) * 255).astype(np.uint8)
    return clipped
