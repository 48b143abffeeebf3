"""Images for the shaders, made once from the MakeHuman textures; colours come in the shader.

Brand marks on garments are painted over, and no garment keeps its own colours or stripes.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in texture coordinates, the origin at the top left."""

FACE_MEAN_BOX: Box = (0.77, 0.42, 0.887, 0.56)
"""Where a skin texture shows the face."""
_LEGS: dict[str, tuple[Box, ...]] = {
    "female_casualsuit01": ((0.0, 0.42, 0.72, 1.0),),
    "male_casualsuit01": ((0.37, 0.0, 0.74, 1.0),),
    "male_casualsuit02": ((0.0, 0.41, 0.76, 1.0),),
    "male_casualsuit03": ((0.0, 0.0, 0.45, 0.58), (0.45, 0.0, 0.8, 0.58)),
    "male_casualsuit04": ((0.0, 0.41, 0.85, 1.0),),
    "male_casualsuit05": ((0.0, 0.55, 0.56, 1.0),),
    "male_casualsuit06": ((0.0, 0.42, 0.72, 1.0),),
}
"""Where trousers are that do not take the colour of the rest."""
_STRIPED = frozenset({"female_elegantsuit01", "male_casualsuit03", "male_casualsuit05"})
_SUIT_SHIRT = 0.45
"""Brightness above which the suit's texture is shirt or tie."""
_TIE: Box = (0.362, 0.09, 0.407, 0.185)


def skin_map(path: Path) -> Pixels:
    """Return a skin texture (H, W, 3)."""
    return _open(path)[..., :3]


def skin_mean(path: Path) -> npt.NDArray[np.float64]:
    """Return the mean colour (3,) of the face in a skin texture, in [0, 1]."""
    pixels = _open(path)[..., :3].astype(np.float64) / 255
    left, top, right, bottom = (int(v * pixels.shape[0]) for v in FACE_MEAN_BOX)
    mean: npt.NDArray[np.float64] = pixels[top:bottom, left:right].mean((0, 1))
    return mean


def hair_map(path: Path) -> tuple[Pixels, float]:
    """Return hair (H, W, 4), grey strands with their alpha, and the mean of its grey in [0, 1]."""
    pixels = _open(path).astype(np.float32)
    grey, alpha = pixels[..., :3].mean(2), pixels[..., 3]
    seen = alpha > 127
    mean, spread = grey[seen].mean(), grey[seen].std()
    even = 110 + np.clip((grey - mean) / max(spread, 5.0), -2, 2.4) * 30
    filled = np.where(alpha > 60, even, _spread(even, alpha > 127))
    return _stack(filled, filled, filled, alpha), 110 / 255


def garment_map(path: Path) -> Pixels:
    """Return a garment (H, W, 4): red is how bright folds and stitches are, 128 the usual.

    Green tells fabric (0) from trousers (85), a light shirt (170) and a tie (255); alpha is whole.
    """
    name = path.parents[1].name
    pixels = _open(path)[..., :3].astype(np.float32)
    grey, side = pixels.mean(2), pixels.shape[0]
    zone = np.zeros_like(grey)
    for box in _LEGS.get(name, ()):
        zone[_slices(box, side)] = 85
    if name in _STRIPED:
        zone[pixels[..., 2] < 1.05 * pixels[..., 0]] = 0
        zone = ndimage.median_filter(zone, 7)
    smooth = _local_mean(grey, 9.0 if name in _STRIPED else 5.0)
    detail = np.clip(grey / np.maximum(smooth, 12), 0.75, 1.2) ** 0.5
    if name in _STRIPED:
        detail = np.where(zone == 85, detail, 1.0)
    shade = detail * _hidden(path)
    if name == "male_elegantsuit01":
        light = grey / 255 > _SUIT_SHIRT
        zone = np.where(ndimage.binary_opening(light), 170, zone)
        zone[_slices(_TIE, side)] = 255
    return _stack(128 * shade, zone, zone * 0, np.full_like(grey, 255))


def garment_normals(path: Path) -> Pixels | None:
    """Return the normal map (H, W, 3) beside a garment's texture, `None` if there is none."""
    beside = path.with_name(path.name.replace("_diffuse", "_normal"))
    return _open(beside)[..., :3] if beside.is_file() else None


def eye_map(path: Path, colour: str) -> Pixels:
    """Return the eyes (H, W, 4) of a colour, the irises less vivid than in the file."""
    rgba = _open(path.with_name(f"{colour}_eye.png"))
    pixels = rgba[..., :3].astype(np.float32) / 255
    vivid = pixels.max(2, keepdims=True) - pixels.min(2, keepdims=True)
    share = np.clip(vivid * 1.6, 0, 0.4)
    muted = pixels * (1 - share) + pixels.mean(2, keepdims=True) * share
    white = np.clip(1 - vivid * 4, 0, 1) * (pixels.mean(2, keepdims=True) > 0.5)
    muted = muted * (1 - 0.12 * white)
    return np.concatenate([_bytes(muted * 255), rgba[..., 3:]], 2)


def cut_out_map(path: Path) -> Pixels:
    """Return a texture (H, W, 4) whose alpha cuts it out: brows and lashes."""
    return _open(path)


def _hidden(path: Path) -> npt.NDArray[np.float32]:
    """Return how open to light the texels of a garment are, in [0.55, 1]."""
    beside = path.with_name(path.name.replace("_diffuse", "_ao"))
    if not beside.is_file():
        return np.ones(_open(path).shape[:2], np.float32)
    shade = _open(beside)[..., :3].astype(np.float32).mean(2) / 255
    clipped: npt.NDArray[np.float32] = np.clip(shade, 0.55, 1.0)
    return clipped


def _local_mean(grey: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    mean: npt.NDArray[np.float32] = ndimage.gaussian_filter(grey, sigma)
    return mean


def _spread(
    values: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return values, those elsewhere replaced by a mean of near ones."""
    share = ndimage.gaussian_filter(where.astype(np.float32), 6)
    near = ndimage.gaussian_filter(values * where, 6) / np.maximum(share, 1e-3)
    spread: npt.NDArray[np.float32] = np.where(where, values, near)
    return spread


def _slices(box: Box, side: int) -> tuple[slice, slice]:
    left, top, right, bottom = (int(v * side) for v in box)
    return slice(top, bottom), slice(left, right)


def _stack(*planes: npt.NDArray[np.floating]) -> Pixels:
    return _bytes(np.stack(planes, 2))


def _bytes(values: npt.NDArray[np.floating]) -> Pixels:
    clipped: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return clipped


@lru_cache(maxsize=64)
def _open(path: Path) -> Pixels:
    with Image.open(path) as image:
        pixels: Pixels = np.array(image.convert("RGBA"))
    return pixels
