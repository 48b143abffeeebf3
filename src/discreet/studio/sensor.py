"""From light to a file, as a webcam does it: lens, exposure, white balance, noise, curve, JPEG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from discreet.people import Sensor

Light = npt.NDArray[np.float32]
_LENS_PX = 128
"""Picture side that `Sensor.blur_px` is given for."""


def develop(light: Light, sensor: Sensor, seed: int) -> Image.Image:
    """Return the picture, RGB, before it is compressed.

    Args:
        light: (side, side, 3) linear; 1 is a white wall in good light.
        sensor: The camera.
        seed: Of the noise; the same seed and size give the same noise for any light.
    """
    side = light.shape[0]
    sigma = sensor.blur_px * side / _LENS_PX
    seen = ndimage.gaussian_filter(light, (sigma, sigma, 0), mode="nearest") if sigma else light
    seen = seen * _falloff(side, sensor.vignette) * 2**sensor.exposure
    seen = seen * np.array(
        [1 + 0.10 * sensor.white_balance, 1.0, 1 - 0.14 * sensor.white_balance], np.float32
    )
    return Image.fromarray(_noisy(tone_curve(seen) * 255, sensor.noise, seed), "RGB")


def tone_curve(light: Light) -> Light:
    """Return display values in [0, 1] for linear light: a soft shoulder, then a little contrast."""
    bent = np.where(light < 0.7, light, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.45))
    shown = np.clip(bent, 0, 1) ** (1 / 2.2)
    curve: Light = (shown - 0.035 * np.sin(2 * np.pi * shown)).astype(np.float32)
    return curve


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Return the JPEG bytes of a picture."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _falloff(side: int, vignette: float) -> Light:
    line = np.linspace(-1, 1, side, dtype=np.float32)
    light: Light = 1 - np.float32(vignette / 2) * (line[:, None] ** 2 + line**2)
    return light[..., None]


def _noisy(levels: Light, noise: float, seed: int) -> npt.NDArray[np.uint8]:
    """Return 8-bit levels with noise that is stronger in the dark and mostly in brightness."""
    rng = np.random.default_rng([seed, 7])
    side = levels.shape[0]
    grain = 0.8 * rng.standard_normal((side, side, 1), np.float32)
    grain = grain + 0.6 * rng.standard_normal((side, side, 3), np.float32)
    strength = noise * (1.6 - 1.1 * np.clip(levels.mean(2, keepdims=True) / 255, 0, 1))
    clipped: npt.NDArray[np.uint8] = np.clip(levels + strength * grain + 0.5, 0, 255).astype(
        np.uint8
    )
    return clipped
