"""What is behind the figures, painted by code and out of focus; nothing is a photograph.

A backdrop is painted small and blurred, so the same scene has the same backdrop at every size.
Light is linear.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from discreet.people import Backdrop, BackdropKind

Light = npt.NDArray[np.float32]
SIDE = 96
"""Side on which backdrops are painted."""


def paint_backdrop(backdrop: Backdrop, side_px: int) -> Light:
    """Return the backdrop (side, side, 3), linear light, where 1 is a white wall."""
    rng = np.random.default_rng([backdrop.seed, 5])
    rgb = linear(np.array(backdrop.rgb, np.float32) / 255)
    small = np.clip(_PAINTERS[backdrop.kind](rng, rgb), 0.0, 2.0)
    planes = [
        Image.fromarray(small[..., plane].astype(np.float32), "F").resize(
            (side_px, side_px), Image.Resampling.BICUBIC
        )
        for plane in range(3)
    ]
    painted: Light = np.maximum(np.stack([np.asarray(plane) for plane in planes], 2), 0)
    return painted


def linear(values: npt.NDArray[np.floating]) -> Light:
    """Return linear light for sRGB values in [0, 1], by the power that the shaders use."""
    light: Light = (np.maximum(values, 0) ** 2.2).astype(np.float32)
    return light


def _plain(rng: np.random.Generator, rgb: Light) -> Light:
    return _lit(rng, np.broadcast_to(rgb, (SIDE, SIDE, 3)).astype(np.float32), 0.15)


def _gradient(rng: np.random.Generator, rgb: Light) -> Light:
    return _lit(rng, np.broadcast_to(rgb, (SIDE, SIDE, 3)).astype(np.float32), 0.75)


def _wall(rng: np.random.Generator, rgb: Light) -> Light:
    """A wall with its skirting of things: a door, a picture, a lamp's glow."""
    wall = np.broadcast_to(rgb, (SIDE, SIDE, 3)).astype(np.float32).copy()
    for _ in range(rng.integers(0, 3)):
        left, top = int(rng.integers(-10, 86)), int(rng.integers(4, 30))
        wide, high = int(rng.integers(14, 34)), int(rng.integers(16, 40))
        frame = rgb * rng.uniform(0.25, 0.8)
        _fill(wall, left - 2, top - 2, wide + 4, high + 4, frame)
        _fill(wall, left, top, wide, high, _tint(rng, rgb.mean() * rng.uniform(0.5, 1.5), 0.25))
    if rng.random() < 0.5:
        edge = int(rng.integers(0, 30) if rng.random() < 0.5 else rng.integers(66, 96))
        _fill(wall, edge, 0, 40 if edge > 50 else -edge, SIDE, rgb * rng.uniform(0.5, 0.85))
    return _blur(_lit(rng, wall, 0.45), rng.uniform(1.2, 3.0))


def _shelves(rng: np.random.Generator, rgb: Light) -> Light:
    room = np.broadcast_to(rgb * 0.45, (SIDE, SIDE, 3)).astype(np.float32).copy()
    pitch = int(rng.integers(20, 30))
    for base in range(int(rng.integers(8, 20)), SIDE + pitch, pitch):
        place = int(rng.integers(-4, 4))
        while place < SIDE:
            wide, high = int(rng.integers(2, 7)), int(pitch * rng.uniform(0.5, 0.86))
            if rng.random() < 0.86:
                book = _tint(rng, rgb.mean() * rng.uniform(0.2, 1.3), 0.28)
                _fill(room, place, base - high, wide, high, book)
            else:
                wide += int(rng.integers(2, 9))
            place += wide
        _fill(room, 0, base, SIDE, 3, rgb * rng.uniform(0.9, 1.2))
    return _blur(_lit(rng, room, 0.3), rng.uniform(1.6, 3.2))


def _window(rng: np.random.Generator, rgb: Light) -> Light:
    room = np.broadcast_to(rgb * 0.5, (SIDE, SIDE, 3)).astype(np.float32).copy()
    left, top = int(rng.integers(-30, 60)), int(rng.integers(-10, 12))
    wide, high = int(rng.integers(36, 64)), int(rng.integers(50, 80))
    sky = np.array([0.92, 1.0, 1.08], np.float32) * rng.uniform(0.75, 1.25)
    green = np.array([0.35, 0.55, 0.25], np.float32) * rng.uniform(0.4, 0.9)
    _fill(room, left - 3, top - 3, wide + 6, high + 6, np.full(3, 0.65, np.float32))
    _fill(room, left, top, wide, high, sky)
    _fill(room, left, top + int(high * rng.uniform(0.5, 0.8)), wide, high, green)
    room[max(0, top + high + 3) :] = rgb * 0.5
    for share in (1 / 2,) if rng.random() < 0.6 else (1 / 3, 2 / 3):
        _fill(room, left + int(wide * share), top, 3, high, np.full(3, 0.6, np.float32))
    if rng.random() < 0.5:
        cloth = _tint(rng, 0.5, 0.12)
        fold = 0.8 + 0.25 * np.sin(np.arange(22) * rng.uniform(0.9, 1.6))
        for side in (left - 12, left + wide - 10):
            for step, shade in enumerate(fold):
                _fill(room, side + step, 0, 1, SIDE, cloth * np.float32(shade))
    return _blur(room, rng.uniform(1.6, 3.4))


def _foliage(rng: np.random.Generator, rgb: Light) -> Light:
    base = np.array([0.10, 0.17, 0.06], np.float32) * rng.uniform(0.6, 1.5)
    leaves = np.broadcast_to(base, (SIDE, SIDE, 3)).astype(np.float32).copy()
    clumps = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 9)
    leaves *= np.exp(12 * clumps)[..., None].astype(np.float32)
    tint = np.array([0.55 + 0.3 * rng.random(), 0.72, 0.28 + 0.2 * rng.random()], np.float32)
    spots = (rng.random((SIDE, SIDE)) < rng.uniform(0.004, 0.015)) * rng.gamma(
        1.2, 1.0, (SIDE, SIDE)
    )
    leaves += 7 * _disc(spots, rng.uniform(2.0, 3.6))[..., None] * tint * rng.uniform(0.5, 1.0)
    sky = np.linspace(1, 0, SIDE, dtype=np.float32)[:, None, None] ** 3
    leaves += sky * np.array([0.5, 0.6, 0.68], np.float32) * rng.uniform(0.1, 1.0)
    return _blur(leaves * (0.5 + rgb.mean()), 1.2)


def _bokeh(rng: np.random.Generator, rgb: Light) -> Light:
    dark = rgb * rng.uniform(0.2, 0.45)
    room = _lit(rng, np.broadcast_to(dark, (SIDE, SIDE, 3)).astype(np.float32), 0.6)
    radius = rng.uniform(3.0, 6.5)
    for tint in ((1.0, 0.72, 0.36), (1.0, 0.9, 0.7), (0.6, 0.8, 1.0)):
        spots = (rng.random((SIDE, SIDE)) < 0.0016) * rng.uniform(0.3, 1.0, (SIDE, SIDE))
        discs = 90 * _disc(spots, radius)[..., None]
        room = room + discs * np.array(tint, np.float32) * rng.uniform(0.2, 0.6)
    return _blur(room, 0.8)


_PAINTERS: dict[BackdropKind, Callable[[np.random.Generator, Light], Light]] = {
    "plain": _plain,
    "gradient": _gradient,
    "wall": _wall,
    "shelves": _shelves,
    "window": _window,
    "foliage": _foliage,
    "bokeh": _bokeh,
}


def _lit(rng: np.random.Generator, room: Light, contrast: float) -> Light:
    """Return a room with light that falls off from one side."""
    across, down = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    turn = rng.uniform(-np.pi, 0)
    ramp = across * np.cos(turn) + down * np.sin(turn)
    shade = np.exp(contrast * rng.uniform(0.3, 1.0) * ramp) * (1 - 0.1 * contrast * (across**2))
    lit: Light = room * shade[..., None].astype(np.float32)
    return lit


def _fill(room: Light, left: int, top: int, wide: int, high: int, rgb: Light) -> None:
    """Paint a rectangle, in place; what lies outside is cut off."""
    if wide < 0:
        left, wide = left + wide, -wide
    room[max(top, 0) : max(top + high, 0), max(left, 0) : max(left + wide, 0)] = rgb


def _tint(rng: np.random.Generator, level: float, spread: float) -> Light:
    tint: Light = np.clip(level * (1 + spread * rng.normal(size=3)), 0.01, 1.2).astype(np.float32)
    return tint


def _blur(room: Light, sigma: float) -> Light:
    blurred: Light = ndimage.gaussian_filter(room, (sigma, sigma, 0), mode="nearest")
    return blurred


def _disc(spots: npt.NDArray[np.floating], radius: float) -> Light:
    """Return points of light as a lens out of focus shows them."""
    reach = int(np.ceil(radius))
    grid = np.arange(-reach, reach + 1)
    kernel = (grid[:, None] ** 2 + grid**2 <= radius**2).astype(np.float32)
    discs: Light = ndimage.convolve(spots.astype(np.float32), kernel / kernel.sum(), mode="wrap")
    return discs
