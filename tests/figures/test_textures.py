from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from discreet.figures.textures import eye_map, garment_map, garment_normals, hair_map


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def garment(tmp_path: Path) -> Path:
    """A blue fabric with an orange mark and trousers below."""
    pixels = np.full((128, 128, 3), (40, 90, 160), np.uint8)
    pixels[20:40, 60:80] = (250, 140, 40)
    return _save(tmp_path / "male_casualsuit06" / "textures" / "a_diffuse.png", pixels)


def test_a_brand_mark_leaves_little_in_a_garment(garment: Path) -> None:
    shade = garment_map(garment)[..., 0].astype(float)
    fabric, mark = shade[60:64, 100:120].mean(), shade[28:32, 66:74].mean()
    assert abs(mark - fabric) < 12
    assert abs(fabric - 128) < 4


def test_trousers_are_told_from_the_rest(garment: Path) -> None:
    zones = garment_map(garment)[..., 1]
    assert zones[100, 20] == 85
    assert zones[10, 20] == 0


def test_a_garment_without_normals_has_none(garment: Path) -> None:
    assert garment_normals(garment) is None
    _save(garment.with_name("a_normal.png"), np.full((8, 8, 3), 128))
    normals = garment_normals(garment)
    assert normals is not None
    assert normals.shape == (8, 8, 3)


def test_hair_keeps_its_alpha_and_loses_its_colour(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(60, 200, (64, 64, 4)).astype(np.uint8)
    pixels[:32, :, 3], pixels[32:, :, 3] = 255, 0
    painted, mean = hair_map(_save(tmp_path / "h.png", pixels))
    assert (painted[..., 0] == painted[..., 2]).all()
    assert (painted[..., 3] == pixels[..., 3]).all()
    assert painted[:32, :, 0].mean() / 255 == pytest.approx(mean, abs=0.03)


def test_irises_are_muted_and_whites_stay_light(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4], pixels[4:] = (40, 90, 240, 255), (235, 230, 228, 255)
    _save(tmp_path / "blue_eye.png", pixels)
    painted = eye_map(tmp_path / "any_eye.png", "blue").astype(int)
    assert np.ptp(painted[0, 0, :3]) < 200
    assert painted[6, 6, :3].min() > 190
