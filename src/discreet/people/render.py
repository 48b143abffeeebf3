"""Draw a `PersonSpec` as a portrait; the one file that imports pyvista.

Software rendering without a display, one plotter for the life of the process. Hair is cut out by
its alpha in the shader, so it needs no sorting. No shadows are cast.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from discreet.people.assets import Assets
from discreet.people.body import (
    HEAD_BOTTOM,
    HEAD_TOP,
    Body,
    Floats,
    Ints,
    Part,
    Proxy,
    compute_normals,
    load_proxy,
)
from discreet.people.sampling import CLOTHING_COLOURS, identity_index
from discreet.people.spec import CLOTHING, HAIR, PersonSpec
from discreet.people.textures import (
    Pixels,
    open_texture,
    paint_brows,
    paint_eyes,
    paint_garment,
    paint_hair,
    paint_skin,
)

SUPERSAMPLING = 2
VIEW_DEGREES = 16.0
FACE_SHARE = 0.68
"""Height of the head, chin to crown, over the height of the picture."""

_FOLD_SHARE = {"child": 0.5}
"""How much of the shading follows the folds of an expression; the rest is the calm face's."""
_MOUTH = {
    "cavity": (0.24, 0.09, 0.09),
    "lower_teeth": (0.8, 0.77, 0.71),
    "upper_teeth": (0.8, 0.77, 0.71),
}
_CUT_OUT = """//VTK::TCoord::Impl
  if (gl_FragData[0].a < 0.45) { discard; }
  gl_FragData[0].a = 1.0;
"""
_LIGHTS: dict[str, tuple[tuple[tuple[float, float, float], float, str], ...]] = {
    "soft": (((3, 5, 10), 0.62, "white"), ((-6, 3, 8), 0.34, "white"), ((0, 6, -8), 0.25, "white")),
    "left_window": (
        ((-9, 4, 5), 0.78, "#fff8ee"), ((5, 2, 9), 0.3, "#e8f0ff"), ((4, 6, -8), 0.25, "white"),
    ),
    "right_window": (
        ((9, 4, 5), 0.78, "#fff8ee"), ((-5, 2, 9), 0.3, "#e8f0ff"), ((-4, 6, -8), 0.25, "white"),
    ),
    "warm_lamp": (
        ((5, 7, 8), 0.72, "#ffdfb8"), ((-7, 2, 7), 0.3, "#ffeedd"), ((0, 6, -8), 0.15, "white"),
    ),
    "overcast": (
        ((0, 10, 6), 0.5, "#eaf2ff"), ((-6, 2, 9), 0.3, "#eef4ff"), ((6, 2, 9), 0.3, "#eef4ff"),
    ),
}  # fmt: skip


def render(spec: PersonSpec, assets: Assets, *, size_px: int = 128) -> Image.Image:
    """Return the portrait, RGB, `size_px` wide and high.

    The same person with the same assets gives the same pixels on the same graphics driver.

    Raises:
        ImportError: if pyvista is not installed (`pip install "discreet[people]"`).
    """
    return _studio(assets).shoot(spec, size_px)


@lru_cache(maxsize=1)
def _studio(assets: Assets) -> "_Studio":
    return _Studio(assets)


@contextmanager
def _quiet_vtk() -> Iterator[None]:
    """Silence VTK's note that there is no display before it turns to off-screen drawing."""
    from vtkmodules.vtkCommonCore import vtkLogger

    usual = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(usual)


class _Studio:
    """A plotter with the actors and textures made so far; all hidden between pictures."""

    def __init__(self, assets: Assets) -> None:
        try:
            import pyvista
        except ImportError as error:
            raise ImportError(
                'Expected pyvista, which draws, found none. Run pip install "discreet[people]".'
            ) from error
        # One thread to a process in Mesa's software driver; processes share out the cores.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        self._pv = pyvista
        self._assets = assets
        self._body = Body(assets)
        skin = self._body.part("body")
        self._skin_triangles: Ints = skin.corners[skin.triangles]
        with _quiet_vtk():
            self._plotter = pyvista.Plotter(
                off_screen=True, window_size=[256, 256], lighting="none", border=False
            )
            self._plotter.render_window.Render()
        self._plotter.renderer.SetUseDepthPeeling(False)
        self._plotter.camera.view_angle = VIEW_DEGREES
        self._lights = [pyvista.Light(light_type="camera light") for _ in range(3)]
        for light in self._lights:
            self._plotter.add_light(light)
        self._actors: dict[str, tuple[Any, Any, Part]] = {}
        self._textures: dict[tuple[Any, ...], Any] = {}

    def shoot(self, spec: PersonSpec, size_px: int) -> Image.Image:
        posed, calm = self._body.morph(spec)
        for _, actor, _ in self._actors.values():
            actor.visibility = False
        self._draw_body(spec, posed, calm)
        self._draw_proxies(spec, posed)
        self._aim(spec, calm)
        side = size_px * SUPERSAMPLING
        if tuple(self._plotter.window_size) != (side, side):
            self._plotter.window_size = [side, side]
        self._plotter.render_window.Render()
        layer = self._plotter.screenshot(return_img=True, transparent_background=True)
        return _develop(layer, spec, size_px)

    def _draw_body(self, spec: PersonSpec, vertices: Floats, calm: Floats) -> None:
        garment = self._proxy("clothes", CLOTHING[spec.clothing])
        share = _FOLD_SHARE.get(spec.age_band, 0.75)
        normals_of = share * compute_normals(vertices, self._skin_triangles)
        normals_of += (1 - share) * compute_normals(calm, self._skin_triangles)
        skin = self._texture(
            ("skin", _skin(self._assets, spec), spec.skin_tone_value),
            lambda: paint_skin(_skin(self._assets, spec), spec.skin_tone_value),
        )
        key = f"body {spec.clothing}"
        mesh, actor, part = self._actor(key, lambda: self._body.part("body", garment.hides))
        actor.texture = skin
        actor.prop.specular, actor.prop.specular_power = 0.12, 14
        _move(mesh, vertices[part.corners], normals_of[part.corners])
        for name, rgb in _MOUTH.items():
            if name == "lower_teeth" and spec.expression != "happy":
                continue  # they do not follow the jaw
            mesh, actor, part = self._actor(name, functools.partial(self._body.part, name))
            actor.prop.color = rgb
            points = vertices[part.corners]
            _move(mesh, points, compute_normals(points, part.triangles))

    def _draw_proxies(self, spec: PersonSpec, vertices: Floats) -> None:
        rgb = CLOTHING_COLOURS[spec.clothing_colour]
        worn = [
            ("clothes", CLOTHING[spec.clothing], spec.clothing_colour),
            ("eyes", "HighPolyEyes", spec.eye_colour),
            ("eyebrows", spec.eyebrows, spec.hair_colour),
            ("eyelashes", "eyelashes02", ""),
        ]
        style = HAIR[spec.hair]
        if style:
            worn.append(("hair", style, spec.hair_colour))
        painters = {
            "clothes": lambda proxy, name, _: paint_garment(proxy.texture, name, rgb),
            "eyes": lambda proxy, _, colour: paint_eyes(proxy.texture, colour),
            "eyebrows": lambda proxy, _, colour: paint_brows(proxy.texture, colour),
            "eyelashes": lambda proxy, _, __: open_texture(proxy.texture),
            "hair": lambda proxy, _, colour: paint_hair(proxy.texture, colour),
        }
        for kind, name, colour in worn:
            proxy = self._proxy(kind, name)
            mesh, actor, part = self._actor(f"{kind} {name}", lambda proxy=proxy: proxy.part)
            actor.texture = self._texture(
                (kind, name, colour),
                lambda k=kind, p=proxy, n=name, c=colour: painters[k](p, n, c),
            )
            _finish(actor, kind)
            own = self._body.dress(proxy, vertices)
            normals_of = compute_normals(own, part.corners[part.triangles])
            _move(mesh, own[part.corners], normals_of[part.corners])

    def _aim(self, spec: PersonSpec, vertices: Floats) -> None:
        top, bottom = vertices[HEAD_TOP], vertices[HEAD_BOTTOM]
        height = top[1] - bottom[1]
        centre = np.array([0, bottom[1] + 0.45 * height, (top[2] + bottom[2]) / 2])
        visible = height / FACE_SHARE * spec.camera_distance
        distance = visible / 2 / np.tan(np.deg2rad(VIEW_DEGREES / 2))
        yaw, pitch = np.deg2rad(spec.yaw_degrees), np.deg2rad(spec.pitch_degrees)
        ray = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        camera = self._plotter.camera
        camera.position, camera.focal_point, camera.up = centre + distance * ray, centre, (0, 1, 0)
        camera.clipping_range = (distance - 5, distance + 5)
        for light, (position, intensity, colour) in zip(
            self._lights, _LIGHTS[spec.light], strict=True
        ):
            light.position, light.intensity = position, intensity
            light.diffuse_color = light.specular_color = colour

    def _proxy(self, kind: str, name: str) -> Proxy:
        return load_proxy(self._assets.folder / "proxies" / kind / name)

    def _actor(self, key: str, make: Any) -> tuple[Any, Any, Part]:
        if key not in self._actors:
            part = make()
            cells = np.insert(part.triangles, 0, 3, axis=1).ravel()
            mesh = self._pv.PolyData(part.texture_coordinates @ np.eye(2, 3), cells)
            mesh.active_texture_coordinates = part.texture_coordinates
            mesh.point_data["Normals"] = np.zeros((mesh.n_points, 3), np.float32)
            mesh.GetPointData().SetActiveNormals("Normals")
            actor = self._plotter.add_mesh(mesh, color="white", reset_camera=False)
            actor.prop.interpolation = "Phong"
            actor.prop.ambient, actor.prop.diffuse = 0.22, 0.85
            self._actors[key] = actor.mapper.dataset, actor, part
        mesh, actor, part = self._actors[key]
        actor.visibility = True
        return mesh, actor, part

    def _texture(self, key: tuple[Any, ...], paint: Any) -> Any:
        if key not in self._textures:
            if len(self._textures) > 220:
                self._textures.pop(next(iter(self._textures)))
            texture = self._pv.Texture(np.ascontiguousarray(paint()))
            texture.SetMipmap(True)
            texture.SetInterpolate(True)
            # Mesa's software driver can loop for minutes on anisotropic reads of edge-on hair.
            texture.SetMaximumAnisotropicFiltering(1)
            self._textures[key] = texture
        return self._textures[key]


def _finish(actor: Any, kind: str) -> None:
    if kind in {"eyes", "hair"}:
        shine = (0.25, 0.4, 60) if kind == "eyes" else (0.3, 0.18, 20)
        actor.prop.ambient, actor.prop.specular, actor.prop.specular_power = shine
        actor.ForceOpaqueOn()
        actor.GetShaderProperty().ClearAllFragmentShaderReplacements()
        actor.GetShaderProperty().AddFragmentShaderReplacement(
            "//VTK::TCoord::Impl", True, _CUT_OUT, False
        )
    elif kind in {"eyebrows", "eyelashes"}:
        actor.ForceTranslucentOn()
    else:
        actor.ForceOpaqueOn()


def _move(mesh: Any, points: Floats, normals: Floats) -> None:
    mesh.points = points
    mesh.point_data["Normals"][:] = normals
    mesh.GetPointData().GetNormals().Modified()
    mesh.Modified()


def _skin(assets: Assets, spec: PersonSpec) -> Path:
    age = {"child": "young", "young_adult": "young", "middle_aged": "middleage"}.get(
        spec.age_band, "old"
    )
    people = "caucasian" if spec.ethnicity == "european" else spec.ethnicity
    gender = "female" if spec.gender_presentation == "feminine" else "male"
    folder = assets.folder / "skins" / f"{age}_{people}_{gender}" / "textures"
    return sorted(folder.glob("*_diffuse*.png"))[0]


def _develop(layer: Pixels, spec: PersonSpec, size_px: int) -> Image.Image:
    rng = np.random.default_rng([spec.seed, 3, identity_index(spec.identity_id), spec.shot])
    person = Image.fromarray(layer).convert("RGBa").resize((size_px, size_px), Image.Resampling.BOX)
    over = np.asarray(person, np.float32)
    picture = over[..., :3] + _backdrop(rng, spec, size_px) * (1 - over[..., 3:] / 255)
    picture = picture * rng.uniform(1.0, 1.12) + rng.normal(0, 1.6, picture.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8), "RGB")


def _backdrop(rng: np.random.Generator, spec: PersonSpec, size_px: int) -> npt.NDArray[np.float32]:
    rgb = np.array(spec.background_rgb, np.float32)
    if spec.background == "plain":
        return np.broadcast_to(rgb, (size_px, size_px, 3))
    if spec.background == "gradient":
        ramp = np.linspace(1.12, 0.78, size_px, dtype=np.float32)[:, None, None]
        return np.clip(np.broadcast_to(ramp * rgb, (size_px, size_px, 3)), 0, 255)
    patches = np.clip(rgb + rng.normal(0, 13, (5, 5, 1)) + rng.normal(0, 3, (5, 5, 3)), 0, 255)
    small = Image.fromarray(patches.astype(np.uint8), "RGB")
    return np.asarray(small.resize((size_px, size_px), Image.Resampling.BICUBIC), np.float32)
