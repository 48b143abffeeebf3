"""From a light and a camera to the numbers that the shaders share.

Angles of a light are against the camera's direction, so that a window on the left stays on the
left of the picture. Colours are linear and relative: about 1 is what a well-lit face gets.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from discreet.figures import Value
from discreet.people import Camera, Light, LightKind
from discreet.studio.stage import View

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """What a family of light has in common."""

    key: tuple[float, float, float]
    """Colour of the brightest part."""
    around: tuple[float, float, float]
    """Colour of what comes from all sides."""
    rim: float
    """Light on edges from behind."""
    softness: float
    """How far the edge of a shadow is spread, in decimetres."""


PRESETS: dict[LightKind, Preset] = {
    "soft": Preset(key=(1, 0.98, 0.95), around=(0.98, 1, 1.03), rim=0.22, softness=0.30),
    "window": Preset(key=(1, 0.99, 0.98), around=(1.03, 0.99, 0.94), rim=0.14, softness=0.22),
    "lamp": Preset(key=(1.1, 0.94, 0.76), around=(1.02, 0.98, 0.94), rim=0.12, softness=0.14),
    "overcast": Preset(key=(0.97, 1, 1.04), around=(0.96, 1, 1.06), rim=0.25, softness=0.45),
    "screen": Preset(key=(0.93, 1, 1.1), around=(1.04, 0.98, 0.9), rim=0.18, softness=0.18),
}
_KEY, _SKY, _GROUND, _FILL = 1.36, 0.94, 0.52, 0.44
"""How bright each part is when the light's contrast gives it everything."""
_ON_A_FACE = 0.93
"""Light that a face gets, which a camera would set its exposure by."""
_DISTANCE = 20.0
"""How far the key light's camera is, in decimetres; its rays are parallel."""


def shared_values(light: Light, camera: Camera) -> dict[str, Value]:
    """Return the uniforms that all shaders share: directions and colours of light.

    Together they give a face about the same light whatever their kind and direction are, as a
    camera's own exposure would; who is in the picture does not matter.
    """
    preset, soft = PRESETS[light.kind], 1 - light.contrast
    warm = np.array([1 + 0.12 * light.warmth, 1.0, 1 - 0.16 * light.warmth])
    around = np.array(preset.around)
    side = 1.0 if light.azimuth_degrees >= 0 else -1.0
    directions = {
        "key": towards(light, camera),
        "fill": _direction(camera, -side * 55, 8),
        "rim": _direction(camera, -side * 150, 35),
    }
    colours = {
        "key": _KEY * light.contrast * warm * preset.key,
        "fill": _FILL * soft * around,
        "rim": preset.rim * around,
        "sky": _SKY * soft * around,
        "ground": _GROUND * soft * around * [1.05, 1.0, 0.93],
    }
    gain = float(np.clip(_ON_A_FACE / _on_a_face(directions, colours, camera), 0.7, 1.7))
    return {
        **{f"{name}Dir": _plain(direction) for name, direction in directions.items()},
        **{f"{name}Colour": _plain(gain * colour) for name, colour in colours.items()},
    }


def light_view(light: Light, camera: Camera, centre: Vector, reach: float) -> View:
    """Return the key light as a camera that sees a ball around the figures.

    Args:
        light: The light.
        camera: What the light's angles are against.
        centre: Middle of the ball, in decimetres.
        reach: Radius of the ball, in decimetres.
    """
    return View(
        position=centre + towards(light, camera) * _DISTANCE * max(1.0, reach / 6),
        focus=centre,
        height=2 * reach,
        near=_DISTANCE * max(1.0, reach / 6) - 2 * reach,
        far=_DISTANCE * max(1.0, reach / 6) + 2 * reach,
        parallel=True,
    )


def towards(light: Light, camera: Camera) -> Vector:
    """Return the unit vector from the figures to the brightest part of the light."""
    return _direction(camera, light.azimuth_degrees, light.elevation_degrees)


def _on_a_face(directions: dict[str, Vector], colours: dict[str, Vector], camera: Camera) -> float:
    """Return the mean light on a brow and both cheeks that are turned to the camera."""
    total = 0.0
    for azimuth, elevation in ((0, 20), (-45, -5), (45, -5)):
        normal = _direction(camera, azimuth, elevation)
        up = 0.5 + 0.5 * normal[1]
        light = (1 - up) * colours["ground"] + up * colours["sky"]
        for name in ("key", "fill"):
            light = light + colours[name] * max(0.0, float(normal @ directions[name] + 0.15) / 1.15)
        total += float(light[1]) / 3
    return total


def _direction(camera: Camera, azimuth_degrees: float, elevation_degrees: float) -> Vector:
    azimuth = np.deg2rad(azimuth_degrees + camera.yaw_degrees)
    elevation = np.deg2rad(elevation_degrees)
    return np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )


def _plain(values: npt.NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
