"""Colour for skin, hair, eyes and clothes, painted from the luminance of the MakeHuman textures.

Brand marks on garments are painted over, and no garment keeps its own colours.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Rgb = tuple[float, float, float]

SKIN_SCALE: tuple[Rgb, ...] = (
    (236, 197, 170), (224, 178, 146), (206, 156, 122), (176, 121, 88), (136, 89, 63), (97, 64, 48),
)  # fmt: skip
"""Mean colour of a face for each skin tone from 1 to 6, before light."""

HAIR_RGB: dict[str, Rgb] = {
    "black": (38, 34, 33), "blond": (192, 158, 108), "brown": (112, 78, 54),
    "dark_brown": (66, 46, 36), "grey": (148, 147, 146), "red": (140, 72, 42),
    "white": (216, 214, 210), "none": (60, 44, 36),
}  # fmt: skip

_FACE_BOX = (0.77, 0.42, 0.887, 0.56)
_MARKS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "female_casualsuit01": ((0.70, 0.14, 0.90, 0.40),),
    "male_casualsuit02": ((0.47, 0.07, 0.65, 0.25),),
    "male_casualsuit04": ((0.47, 0.07, 0.65, 0.25),),
    "male_casualsuit06": ((0.18, 0.09, 0.34, 0.18), (0.43, 0.10, 0.68, 0.22)),
}
"""Boxes (left, top, right, bottom) in texture coordinates that hold a brand mark."""
_GAIN = {"male_elegantsuit01": 2.4, "male_casualsuit05": 1.4}


def paint_skin(path: Path, tone: float) -> Pixels:
    """Return a skin texture whose mean over the face has the colour of `tone`."""
    pixels = _open(path)[..., :3].astype(np.float32) / 255
    left, top, right, bottom = (int(v * pixels.shape[0]) for v in _FACE_BOX)
    mean = pixels[top:bottom, left:right].mean((0, 1))
    low = int(np.clip(tone, 1, 5.999)) - 1
    share = np.clip(tone - 1 - low, -0.4, 1.4)
    scale = np.array(SKIN_SCALE) / 255
    target = scale[low] * (1 - share) + scale[low + 1] * share
    power = np.log(np.clip(target, 0.05, 0.97)) / np.log(mean)
    return _bytes(pixels**power)


def paint_hair(path: Path, colour: str) -> Pixels:
    """Return a hair texture (RGBA) in one of `HAIR_RGB`, with its strands and its alpha."""
    pixels = _open(path).astype(np.float32)
    grey, alpha = pixels[..., :3].mean(2) / 255, pixels[..., 3:]
    strands = grey[alpha[..., 0] > 127]
    mean, spread = strands.mean(), strands.std()
    detail = 1 + np.clip((grey - mean) / max(spread, 0.02), -2, 2.5) * 0.24
    detail[alpha[..., 0] < 96] = 0.9
    tinted = np.clip(detail[..., None] * np.array(HAIR_RGB[colour]), 0, 255)
    painted: Pixels = np.concatenate([tinted, alpha], 2).astype(np.uint8)
    return painted


def paint_brows(path: Path, colour: str) -> Pixels:
    """Return eyebrows (RGBA): the hair's colour, darkened, over the brow's own alpha."""
    alpha = _open(path)[..., 3:].astype(np.float32)
    rgb = np.array(HAIR_RGB[colour]) * (0.8 if colour in {"black", "dark_brown", "none"} else 0.6)
    flat = np.broadcast_to(rgb, (*alpha.shape[:2], 3))
    painted: Pixels = np.concatenate([flat, np.clip(alpha * 1.1, 0, 255)], 2).astype(np.uint8)
    return painted


def paint_garment(path: Path, garment: str, rgb: Rgb) -> Pixels:
    """Return a garment in one colour times its folds and stitches, brand marks painted over."""
    grey = _open(path)[..., :3].astype(np.float32).mean(2) / 255 * _GAIN.get(garment, 1.0)
    size = grey.shape[0]
    for box in _MARKS.get(garment, ()):
        left, top, right, bottom = (int(v * size) for v in box)
        patch = grey[top:bottom, left:right]
        patch[:] = np.median(np.concatenate([patch[:3].ravel(), patch[-3:].ravel()]))
    usual = np.median(grey[_used(grey)])
    detail = np.clip(grey / max(usual, 0.08), 0.35, 1.45)
    coloured = detail[..., None] * np.array(rgb) / 255
    if garment == "male_elegantsuit01":
        shirt = (grey > 0.45 * _GAIN[garment])[..., None]
        coloured = np.where(shirt, np.clip(grey / _GAIN[garment], 0, 0.9)[..., None], coloured)
    return _bytes(coloured)


def paint_eyes(path: Path, colour: str) -> Pixels:
    """Return the eyes (RGBA) of a colour, the irises less vivid than in the file."""
    rgba = _open(path.with_name(f"{colour}_eye.png"))
    pixels = rgba[..., :3].astype(np.float32) / 255
    vivid = pixels.max(2, keepdims=True) - pixels.min(2, keepdims=True)
    share = np.clip(vivid * 2, 0, 0.45)
    muted = pixels * (1 - share) + pixels.mean(2, keepdims=True) * share
    return np.concatenate([_bytes(muted * np.where(vivid > 0.25, 0.8, 0.95)), rgba[..., 3:]], 2)


def open_texture(path: Path) -> Pixels:
    """Return a texture as it is, RGBA."""
    return _open(path)


@lru_cache(maxsize=128)
def _open(path: Path) -> Pixels:
    with Image.open(path) as image:
        pixels: Pixels = np.array(image.convert("RGBA"))
    return pixels


def _used(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return (grey > 0.04) & (grey < 0.78)


def _statistics(grey: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]) -> tuple[float, float]:
    return float(grey[where].mean()), float(grey[where].std())


def _bytes(pixels: npt.NDArray[np.floating]) -> Pixels:
    scaled: Pixels = (np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return scaled
