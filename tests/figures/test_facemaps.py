import numpy as np
import pytest

from discreet.figures import Assets
from discreet.figures.body import Body
from discreet.figures.facemaps import face_map, fold_map, place_map


@pytest.fixture(scope="module")
def places(assets: Assets) -> np.ndarray:
    return place_map(Body(assets))


def _near(places: np.ndarray, x: float, y: float) -> tuple[int, int]:
    """Return the texel of a place on the front of the face."""
    off = np.hypot(places[..., 0] - x, places[..., 1] - y) + 9 * (places[..., 2] < 0.6)
    row, column = np.unravel_index(np.nanargmin(off), off.shape)
    return int(row), int(column)


@pytest.mark.people
def test_lips_beard_scalp_and_blush_are_where_they_belong(places: np.ndarray) -> None:
    maps = face_map(places).astype(float) / 255
    spots = {"lips": (0.0, 6.56), "beard": (0.0, 6.36), "scalp": (0.0, 8.25), "blush": (0.4, 6.98)}
    found = {name: maps[_near(places, *spot)] for name, spot in spots.items()}
    for channel, name in enumerate(spots):
        assert found[name][channel] > 0.6
    assert found["lips"][1] < 0.3
    assert found["scalp"][1] == 0
    assert maps[_near(places, 0.3, 7.7)].max() < 0.1


@pytest.mark.people
def test_both_halves_of_a_face_are_alike(places: np.ndarray) -> None:
    maps, folds = face_map(places).astype(int), fold_map(places).astype(int)
    for x, y in ((0.1, 6.6), (0.3, 6.7), (0.55, 7.28), (0.06, 7.4), (0.4, 6.98)):
        here, there = _near(places, x, y), _near(places, -x, y)
        assert np.abs(maps[here] - maps[there]).max() < 60
        assert np.abs(folds[here] - folds[there]).max() < 90


@pytest.mark.people
def test_a_cheek_has_no_folds(places: np.ndarray) -> None:
    assert fold_map(places)[_near(places, 0.45, 6.9)].max() < 40
