import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from discreet.people import Sensor
from discreet.studio.sensor import develop, encode_jpeg, tone_curve

CLEAN = {
    "exposure": 0.0, "noise": 0.0, "blur_px": 0.0, "white_balance": 0.0, "vignette": 0.0,
    "jpeg_quality": 90,
}  # fmt: skip
GREY = np.full((32, 32, 3), 0.3, np.float32)


def _taken(light: np.ndarray, seed: int = 0, **changes: Any) -> np.ndarray:
    return np.asarray(develop(light, Sensor(**{**CLEAN, **changes}), seed), float)


@given(st.floats(0, 3), st.floats(0.001, 0.5))
def test_more_light_is_never_darker(light: float, more: float) -> None:
    values = tone_curve(np.array([light, light + more], np.float32))
    assert 0 <= values[0] <= values[1] <= 1


def test_a_clean_sensor_shows_the_curve() -> None:
    np.testing.assert_allclose(_taken(GREY), tone_curve(GREY) * 255, atol=1)


def test_a_seed_gives_the_same_noise_for_any_light() -> None:
    noise = [_taken(light, seed=3, noise=3.0) - _taken(light) for light in (GREY, 0.98 * GREY)]
    assert np.abs(noise[0] - noise[1]).max() <= 2
    assert not np.array_equal(_taken(GREY, 3, noise=3.0), _taken(GREY, 4, noise=3.0))


def test_noise_is_stronger_in_the_dark() -> None:
    dark, light = (_taken(share * GREY, noise=4.0).std() for share in (0.2, 2.0))
    assert dark > 1.3 * light


def test_the_lens_blurs_an_edge_and_keeps_the_light() -> None:
    edge = np.where(np.arange(32)[None, :, None] < 16, 0.1, 0.5) * np.ones((32, 32, 3))
    sharp, soft = (_taken(edge.astype(np.float32), blur_px=blur) for blur in (0.0, 4.0))
    assert np.abs(np.diff(sharp[16, :, 1])).max() > 2 * np.abs(np.diff(soft[16, :, 1])).max()


def test_white_balance_moves_red_against_blue() -> None:
    warm = _taken(GREY, white_balance=1.0).mean((0, 1))
    assert warm[0] > warm[1] > warm[2]


def test_corners_are_darker_by_the_vignette() -> None:
    shot = _taken(GREY, vignette=0.5)
    assert shot[0, 0].mean() < shot[16, 16].mean() - 20


@pytest.mark.parametrize("quality", [60, 92])
def test_jpegs_are_rgb_and_smaller_at_lower_quality(quality: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = encode_jpeg(image, quality)
    assert Image.open(io.BytesIO(data)).size == (64, 64)
    assert len(encode_jpeg(image, 60)) <= len(data)
