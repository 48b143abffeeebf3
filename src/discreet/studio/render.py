"""Draw a `Scene`: its figures in their light, before its backdrop, through its camera.

Software rendering without a display; the window, meshes and textures live as long as the process.

>>> from discreet.people import sample_scene
>>> from discreet.figures import open_assets
>>> render(sample_scene(0, 7, 0), open_assets(Path("assets"))).size  # doctest: +SKIP
(128, 128)
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from discreet.figures import HEAD_BOTTOM, HEAD_TOP, MASKS, Assets, Surface, Wardrobe
from discreet.people import Camera, Figure, Framing, Scene
from discreet.studio.backdrops import linear, paint_backdrop
from discreet.studio.lighting import PRESETS, light_view, shared_values
from discreet.studio.sensor import develop
from discreet.studio.shading import LIGHT_RANGE
from discreet.studio.stage import SHADOW_PX, Stage, View

Light = npt.NDArray[np.float32]
SUPERSAMPLING = 3
VIEW_DEGREES = 18.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Crop:
    """How much of a body is in a picture."""

    head_share: float
    """Height of the head, chin to crown, over the height of the picture."""
    head_up: float
    """How far above the picture's middle the head's middle is, over the picture's height."""
    lowest: float
    """Height in the base mesh below which nothing can be seen, in decimetres."""


CROPS: dict[Framing, Crop] = {
    "portrait": Crop(head_share=0.72, head_up=0.03, lowest=2.6),
    "bust": Crop(head_share=0.42, head_up=0.12, lowest=0.0),
    "half": Crop(head_share=0.26, head_up=0.22, lowest=-4.0),
    "full": Crop(head_share=0.125, head_up=0.38, lowest=-np.inf),
}


def render(scene: Scene, assets: Assets) -> Image.Image:
    """Return the picture, RGB, before it is compressed.

    The same scene with the same assets gives the same pixels on the same graphics driver.

    Raises:
        ImportError: if VTK is not installed (`pip install "discreet[people]"`).
    """
    return studio_of(assets).shoot(scene)


def render_masks(scene: Scene, assets: Assets) -> dict[str, Light]:
    """Return how much of each pixel is skin, hair, clothes, eyes, brows or mouth: (side, side)."""
    return studio_of(assets).masks(scene)


@lru_cache(maxsize=1)
def studio_of(assets: Assets) -> "Studio":
    """Return the studio of this process, made on the first call."""
    return Studio(assets)


class Studio:
    """A stage and a wardrobe; every picture starts from nothing but them."""

    def __init__(self, assets: Assets) -> None:
        self._stage = Stage()
        self._wardrobe = Wardrobe(assets, self._stage.add_texture)
        self.seconds: dict[str, float] = defaultdict(float)
        """Time that each stage of drawing has taken so far."""

    def shoot(self, scene: Scene) -> Image.Image:
        """Return the picture of a scene."""
        light, cover = self.light_of(scene)
        with self._timed("backdrop"):
            seen = light + paint_backdrop(scene.backdrop, scene.camera.size_px) * (1 - cover)
        with self._timed("sensor"):
            return develop(seen, scene.sensor, scene.seed)

    def light_of(self, scene: Scene) -> tuple[Light, Light]:
        """Return the figures' light (side, side, 3) and how much of a pixel they cover."""
        surfaces, view = self._set_up(scene)
        reach = max(_far(figure, view) for figure in scene.figures)
        values = shared_values(scene.light, scene.camera)
        values["shadowSoft"] = PRESETS[scene.light.kind].softness * SHADOW_PX / (2 * reach)
        with self._timed("draw"):
            layer = self._stage.draw(
                surfaces,
                view=view,
                light=light_view(scene.light, scene.camera, view.focus, reach),
                values=values,
                side_px=scene.camera.size_px * SUPERSAMPLING,
            )
        with self._timed("shrink"):
            on = layer[..., 3:] > 127
            shown = np.where(on, layer[..., :3], 0).astype(np.float32) / 255
            return _shrink(LIGHT_RANGE * linear(shown)), _shrink(on.astype(np.float32))

    def masks(self, scene: Scene) -> dict[str, Light]:
        """Return how much of each pixel belongs to each kind of surface: (side, side)."""
        surfaces, view = self._set_up(scene)
        side_px = scene.camera.size_px * SUPERSAMPLING
        layer = self._stage.draw_masks(surfaces, view=view, side_px=side_px)
        on = layer[..., 3] > 127
        found = {}
        for name, colour in MASKS.items():
            same = (layer[..., :3] > 127) == (np.array(colour) > 0.5)
            found[name] = _shrink((on & same.all(2))[..., None].astype(np.float32))[..., 0]
        return found

    def _set_up(self, scene: Scene) -> tuple[list[Surface], View]:
        with self._timed("bodies"):
            bodies = [self._wardrobe.stand(f, slot) for slot, f in enumerate(scene.figures)]
        with self._timed("surfaces"):
            lowest = CROPS[scene.camera.framing].lowest
            surfaces = [s for body in bodies for s in self._wardrobe.surfaces(body, lowest)]
            return surfaces, self._view(scene)

    def _view(self, scene: Scene) -> View:
        """Return the camera; weight, face and clothes of a figure do not move it."""
        first, crop = scene.figures[0], CROPS[scene.camera.framing]
        calm = self._wardrobe.calm(replace(first.person, face_shape={}, body_weight=0.5)).vertices
        floor = calm[:, 1].min()
        top, bottom = calm[HEAD_TOP] - [0, floor, 0], calm[HEAD_BOTTOM] - [0, floor, 0]
        height = (top[1] - bottom[1]) / crop.head_share * scene.camera.distance
        return aim(scene.camera, (top + bottom) / 2, height, crop.head_up)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - began


def aim(camera: Camera, head: npt.NDArray[np.floating], height: float, head_up: float) -> View:
    """Return the view of a camera that sees `height` decimetres around a head.

    Args:
        camera: Direction and shift.
        head: (3,) middle of the head.
        height: What is seen at the head's distance, in decimetres.
        head_up: How far above the picture's middle the head is, over the picture's height.
    """
    yaw, pitch = np.deg2rad(camera.yaw_degrees), np.deg2rad(camera.pitch_degrees)
    ray = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    up = np.cross(ray, right)
    focus = head - height * ((head_up + camera.shift_up) * up + camera.shift_right * right)
    distance = height / 2 / np.tan(np.deg2rad(VIEW_DEGREES / 2))
    return View(
        position=focus + distance * ray,
        focus=focus,
        height=height,
        near=max(1.0, distance - 8),
        far=distance + 40,
    )


def _far(figure: Figure, view: View) -> float:
    """Return how far from the picture's middle something of a figure may cast a shadow."""
    place = figure.place
    aside = float(np.hypot(10 * place.right_m, 10 * place.towards_m))
    return max(3.6, 1.2 * (aside + 0.7 * view.height))


def _shrink(picture: Light) -> Light:
    side = picture.shape[0] // SUPERSAMPLING
    cells = picture.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING, -1)
    small: Light = cells.mean((1, 3), dtype=np.float32)
    return small
